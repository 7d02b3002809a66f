import { readDbtime } from '../format/dbtime.js';
import type { LogRecordCursor } from '../format/log-record-cursor.js';
import { LRTYP } from '../format/log-record-type.js';
import {
  AT_CREATION_OBJID,
  AT_DBTIME,
  AT_NEW_PAGE_DBTIME,
  AT_NEW_PAGE_OBJID,
  AT_OBJID,
} from './record-offsets.js';
import type { AttachedDatabase } from './redo-database.js';

/** What redo knows of types of records before it decodes one. */

const NODE_TYPES: readonly number[] = [
  LRTYP.Insert,
  LRTYP.FlagInsert,
  LRTYP.FlagInsertAndReplaceData,
  LRTYP.FlagDelete,
  LRTYP.Replace,
  LRTYP.ReplaceD,
  LRTYP.Delete,
  LRTYP.UndoInfo,
  LRTYP.Delta,
  LRTYP.Delta64,
  LRTYP.SetExternalHeader,
  LRTYP.Undo,
  LRTYP.EmptyTree,
];

const CREATION_TYPES: readonly number[] = [
  LRTYP.CreateMultipleExtentFDP,
  LRTYP.CreateSingleExtentFDP,
  LRTYP.ConvertFDP2,
];

/** Where records have the object id that they name; 0 = they name none. */
const OBJID_AT = new Uint8Array(256);
for (const lrtyp of NODE_TYPES) OBJID_AT[lrtyp] = AT_OBJID;
for (const lrtyp of CREATION_TYPES) OBJID_AT[lrtyp] = AT_CREATION_OBJID;
OBJID_AT[LRTYP.NewPage] = AT_NEW_PAGE_OBJID;

/** 1 for each of some types of records. */
function typeTable(types: readonly number[]): Uint8Array {
  const table = new Uint8Array(256);
  for (const lrtyp of types) table[lrtyp] = 1;
  return table;
}

/** 1 for types that say something about logs and databases without a look at a page. */
export const REHEARSED_TYPES = typeTable([
  LRTYP.Init,
  LRTYP.Init2,
  LRTYP.ShutDownMark,
  LRTYP.Term,
  LRTYP.Term2,
  LRTYP.RecoveryQuit,
  LRTYP.RecoveryQuit2,
  LRTYP.RecoveryQuitKeepAttachments,
  LRTYP.CreateDB,
  LRTYP.CreateDBFinish,
  LRTYP.AttachDB,
  LRTYP.DetachDB,
  LRTYP.SetDbVersion,
  // It is no record to be the last one.
  LRTYP.NOP2,
]);

/** 1 for types that only live inside of macros. */
export const MACRO_TYPES = typeTable([LRTYP.Split2, LRTYP.Merge2]);

/** Stamps and object ids count whether or not the record is carried out (chapter 5.1.2). */
export function noteCounters({ lrtyp, view, offset }: LogRecordCursor, database: AttachedDatabase): void {
  const isNewPage = lrtyp === LRTYP.NewPage;
  const dbtime = readDbtime(view, offset + (isNewPage ? AT_NEW_PAGE_DBTIME : AT_DBTIME));
  if (dbtime > database.dbtimeCurrent) database.dbtimeCurrent = dbtime;
  const objidAt = OBJID_AT[lrtyp] ?? 0;
  if (objidAt === 0) return;
  const objid = view.getUint32(offset + objidAt, true);
  if (objid > database.objidLast) database.objidLast = objid;
}
