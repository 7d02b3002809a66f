import type { LogRecord, LogRecordOf } from '../format/log-record.js';
import { PAGE_FLAG, type Page } from '../format/page.js';
import {
  decodeSpaceHeader,
  encodeSpaceHeader,
  hasMultipleExtents,
  replaceSpaceHeader,
} from '../format/space.js';
import { applySetExternalHeader } from './external-header.js';
import { applyReplace } from './node-operations.js';
import { applyPageMove } from './page-move.js';
import type { RedoContext } from './redo-context.js';
import { contradiction, stampPage } from './redo-gate.js';

/** What a PageMove moves (format specification, chapter 4.6.6). */
export const MOVE_FLAG = { none: 0, root: 1, oeRoot: 2, aeRoot: 4 } as const;

/**
 * RootPageMove: a macro that moves the root of a tree and the roots of its space trees. Children learn their
 * new parent (SetExternalHeader), the catalog the new root (Replace), all under one stamp (chapter 5.3.5).
 */
export function applyRootPageMove(records: readonly LogRecord[], context: RedoContext): void {
  const macro: RedoContext = { ...context, macroPages: new Map<number, Page | undefined>() };
  const moves: LogRecordOf<'PageMove'>[] = [];
  for (const record of records) {
    switch (record.name) {
      case 'RootPageMove':
        break;
      case 'PageMove':
        moves.push(record);
        applyPageMove(record, macro);
        break;
      case 'SetExternalHeader':
        applySetExternalHeader(record, macro);
        break;
      case 'Replace':
      case 'ReplaceD':
        applyReplace(record, macro);
        break;
      default:
        throw contradiction(`a move of a root contains a ${record.name} record`, 0);
    }
  }
  const root = moves.find((move) => move.moveFlags === MOVE_FLAG.root);
  const oeRoot = moves.find((move) => move.moveFlags === MOVE_FLAG.oeRoot);
  if (root !== undefined && oeRoot !== undefined) relinkSpace(root, oeRoot, context);
}

/** Lets the space header of the moved root lead to the moved root of its owned extents. */
function relinkSpace(
  root: LogRecordOf<'PageMove'>,
  oeRoot: LogRecordOf<'PageMove'>,
  context: RedoContext,
): void {
  const page = context.pages.readPage(root.pgnoDest);
  if (page.dbtime !== root.dbtime || (page.flags & PAGE_FLAG.root) === 0) return;
  const header = decodeSpaceHeader(page.externalHeader, page.pgno);
  if (!hasMultipleExtents(header) || header.pgnoOe !== oeRoot.pgno) return;
  const plain = encodeSpaceHeader({ ...header, pgnoOe: oeRoot.pgnoDest });
  page.setExternalHeader(replaceSpaceHeader(new Uint8Array(page.externalHeader), plain));
  stampPage(context, page, root.dbtime);
}
