import type { LogRecord } from '../format/log-record.js';
import { LRTYP } from '../format/log-record-type.js';

/** Is told every page that a record changes: `isNew` if the record makes it without reading it. */
export type PageReference = (dbid: number, pgno: number, isNew: boolean) => void;

/**
 * Names the pages that redo of a record would touch (format specification, chapter 4.6). The parent page of a
 * split or merge is the page of a record of its own, and so is not named twice.
 */
export function forEachPageReference(record: LogRecord, visit: PageReference): void {
  switch (record.lrtyp) {
    case LRTYP.Insert:
    case LRTYP.FlagInsert:
    case LRTYP.FlagInsertAndReplaceData:
    case LRTYP.FlagDelete:
    case LRTYP.Replace:
    case LRTYP.ReplaceD:
    case LRTYP.Delete:
    case LRTYP.Delta:
    case LRTYP.Delta64:
    case LRTYP.SetExternalHeader:
    case LRTYP.Undo:
    case LRTYP.Scrub:
      visit(record.dbid, record.pgno, false);
      return;
    case LRTYP.Split:
    case LRTYP.Split2:
      visit(record.dbid, record.pgno, false);
      if (record.pgnoNew !== 0) visit(record.dbid, record.pgnoNew, true);
      if (record.pgnoRight !== 0) visit(record.dbid, record.pgnoRight, false);
      return;
    case LRTYP.Merge:
    case LRTYP.Merge2:
      visit(record.dbid, record.pgno, false);
      if (record.pgnoRight !== 0) visit(record.dbid, record.pgnoRight, false);
      if (record.pgnoLeft !== 0) visit(record.dbid, record.pgnoLeft, false);
      return;
    case LRTYP.CreateMultipleExtentFDP:
      visit(record.dbid, record.pgno, true);
      visit(record.dbid, record.pgnoOE, true);
      visit(record.dbid, record.pgnoAE, true);
      return;
    case LRTYP.CreateSingleExtentFDP:
    case LRTYP.NewPage:
      visit(record.dbid, record.pgno, true);
      return;
    case LRTYP.ConvertFDP:
    case LRTYP.ConvertFDP2:
      visit(record.dbid, record.pgno, false);
      visit(record.dbid, record.pgnoOE, true);
      visit(record.dbid, record.pgnoAE, true);
      return;
    case LRTYP.EmptyTree:
      visit(record.dbid, record.pgno, false);
      for (const { pgno } of record.pages) visit(record.dbid, pgno, false);
      return;
    case LRTYP.PageMove:
      visit(record.dbid, record.pgno, false);
      visit(record.dbid, record.pgnoDest, true);
      if (record.pgnoLeft !== 0) visit(record.dbid, record.pgnoLeft, false);
      if (record.pgnoRight !== 0) visit(record.dbid, record.pgnoRight, false);
      if (record.pgnoParent !== 0) visit(record.dbid, record.pgnoParent, false);
      return;
  }
}
