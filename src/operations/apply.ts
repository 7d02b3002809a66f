import { EseError } from '../format/ese-error.js';
import type { LogRecord, LogRecordOf } from '../format/log-record.js';
import { type LogRecordName, LRTYP, LRTYP_COUNT } from '../format/log-record-type.js';
import { applyEmptyTree } from './empty-tree.js';
import { applySetExternalHeader } from './external-header.js';
import { applyMerge } from './merge.js';
import {
  applyDelete,
  applyDelta,
  applyFlagDelete,
  applyFlagInsert,
  applyFlagInsertAndReplaceData,
  applyInsert,
  applyReplace,
  applyUndo,
  applyUndoInfo,
  type Insertion,
  type LeafOperation,
} from './node-operations.js';
import { applyPageMove } from './page-move.js';
import type { RedoContext } from './redo-context.js';
import { contradiction } from './redo-gate.js';
import { applyRootPageMove } from './root-page-move.js';
import { applyScrub } from './scrub.js';
import { applySplit } from './split.js';
import {
  applyConvertFdp,
  applyCreateMultipleExtentFdp,
  applyCreateSingleExtentFdp,
  applyNewPage,
} from './tree-creation.js';

type Apply<N extends LogRecordName> = (record: LogRecordOf<N>, context: RedoContext) => void;

/** The function that carries out each type of record outside of macros. */
const APPLY: { readonly [N in LogRecordName]?: Apply<N> } = {
  CreateMultipleExtentFDP: applyCreateMultipleExtentFdp,
  CreateSingleExtentFDP: applyCreateSingleExtentFdp,
  ConvertFDP: refuseObsolete,
  Split: refuseObsolete,
  Merge: refuseObsolete,
  Insert: applyInsert,
  FlagInsert: applyFlagInsert,
  FlagInsertAndReplaceData: applyFlagInsertAndReplaceData,
  FlagDelete: applyFlagDelete,
  Replace: applyReplace,
  ReplaceD: applyReplace,
  Delete: applyDelete,
  UndoInfo: applyUndoInfo,
  Delta: applyDelta,
  SetExternalHeader: applySetExternalHeader,
  Undo: applyUndo,
  EmptyTree: applyEmptyTree,
  ConvertFDP2: applyConvertFdp,
  Scrub: applyScrub,
  PageMove: applyPageMove,
  Delta64: applyDelta,
  NewPage: applyNewPage,
};

const APPLY_BY_TYPE = new Array<((record: LogRecord, context: RedoContext) => void) | undefined>(LRTYP_COUNT);
for (const [name, apply] of Object.entries(APPLY)) {
  APPLY_BY_TYPE[LRTYP[name as LogRecordName]] = apply as (record: LogRecord, context: RedoContext) => void;
}

/** Whether records of this type change pages outside of macros. */
export function changesPages(lrtyp: number): boolean {
  return APPLY_BY_TYPE[lrtyp] !== undefined;
}

/**
 * Carries out one record that changes pages, outside of a macro.
 *
 * Throws the errors of the redo gate, `JET_errLogOperationInconsistentWithDatabase` when the record does not
 * fit the page, and the errors of reading pages; each with the page and the position in the log.
 */
export function applyRecord(record: LogRecord, context: RedoContext): void {
  try {
    const apply = APPLY_BY_TYPE[record.lrtyp];
    if (apply === undefined) {
      throw new EseError('JET_errLogCorrupted', `a ${record.name} record changes no page`);
    }
    apply(record, context);
  } catch (error) {
    throw placed(error, context);
  }
}

/** {@link applyRecord} for who has just made an Insert record, and need not read it again. */
export function applyInsertion(insertion: Insertion, context: RedoContext): void {
  try {
    applyInsert(insertion, context);
  } catch (error) {
    throw placed(error, context);
  }
}

function refuseObsolete(record: LogRecord): never {
  throw new EseError('JET_errBadLogVersion', `the log has a ${record.name} record of an obsolete format`);
}

/** Carries out the records of a macro, at its commit. Throws as {@link applyRecord}. */
export function applyMacro(records: readonly LogRecord[], context: RedoContext): void {
  try {
    dispatchMacro(records, context);
  } catch (error) {
    throw placed(error, context);
  }
}

function dispatchMacro(records: readonly LogRecord[], context: RedoContext): void {
  if (records.length === 0) return;
  if (records.some((record) => record.name === 'RootPageMove')) {
    applyRootPageMove(records, context);
    return;
  }
  const splits: LogRecordOf<'Split2'>[] = [];
  const merges: LogRecordOf<'Merge2'>[] = [];
  let leafOperation: LeafOperation | undefined;
  for (const record of records) {
    switch (record.name) {
      case 'Split2':
        splits.push(record);
        break;
      case 'Merge2':
        merges.push(record);
        break;
      case 'Insert':
      case 'FlagInsertAndReplaceData':
      case 'Replace':
      case 'ReplaceD':
        if (leafOperation !== undefined) throw contradiction('a split has two leaf operations', record.pgno);
        leafOperation = record;
        break;
      case 'Split':
      case 'Merge':
        throw new EseError(
          'JET_errBadLogVersion',
          `the log has a ${record.name} record of an obsolete format`,
        );
      default:
        throw new EseError('JET_errLogCorrupted', `a macro contains a ${record.name} record`);
    }
  }
  if (splits.length > 0 && merges.length === 0) applySplit(splits, leafOperation, context);
  else if (merges.length > 0 && splits.length === 0 && leafOperation === undefined)
    applyMerge(merges, context);
  else throw new EseError('JET_errLogCorrupted', 'a macro is neither a split nor a merge nor a move');
}

/** Errors of a page that a record does not fit say so, with the place. */
function placed(error: unknown, context: RedoContext): unknown {
  if (!(error instanceof EseError)) return error;
  const lgpos = { ...context.lgpos };
  // A page that was damaged when it was read says so itself, with its file.
  if (error.file !== undefined) return error.at({ lgpos });
  switch (error.name) {
    case 'JET_errBadLineCount':
    case 'JET_errRecordTooBig':
    case 'JET_errNodeCorrupted':
      return contradiction(error.detail, error.pgno ?? 0).at({ lgpos });
    default:
      return error.at({ lgpos });
  }
}
