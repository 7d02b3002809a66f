import {
  decodeLongValueRoot,
  type Lid,
  LONG_VALUE_ROOT,
  longValueChunkSize,
  REFERENCES_PARTIALLY_DELETED,
  readLid,
  readLongValueKey,
} from '../../format/long-value.js';
import { createNodeView, type Page } from '../../format/page.js';
import {
  createRecordLayout,
  createRecordValues,
  createValueView,
  locateColumns,
  locateValue,
  valueCount,
} from '../../format/record.js';
import { type DatabaseVictim, type FaultChoice, tooFew, type VictimNode } from './database-victim.js';
import { entriesOf } from './tree-faults.js';

/** Faults of long values: roots, chunks and counts that do not fit together; every checksum is right. */

const lid: Lid = { high: 0, low: 0 };

const isNotAlone = (page: Page): boolean => page.nodeCount > 1;

/** Offset of the chunk in a node of a long-value tree; {@link LONG_VALUE_ROOT} for a root. */
const offsetOf = ({ key }: VictimNode): number => readLongValueKey(key, key.length, lid);

/** Roots of long values that rows refer to. */
function pickRoots(
  victim: DatabaseVictim,
  choice: FaultChoice,
  what: string,
  fits: (node: VictimNode, page: Page) => boolean = () => true,
): VictimNode[] {
  return victim.pickNodes(choice, victim.trees(choice, 'longValue'), what, (node, page) => {
    if (offsetOf(node) !== LONG_VALUE_ROOT) return false;
    const { referenceCount } = decodeLongValueRoot(node.data, 0, node.data.length);
    return referenceCount > 0 && referenceCount < REFERENCES_PARTIALLY_DELETED && fits(node, page);
  });
}

/** Changes a dword of the data of a node. */
function setDataDword(victim: DatabaseVictim, { pgno, line }: VictimNode, at: number, value: number): void {
  const view = createNodeView();
  victim.edit(pgno, (page) => {
    page.readNode(line, view);
    page.view.setUint32(view.dataOffset + at, value, true);
  });
}

const REFERENCES_AT = 0;
const SIZE_AT = 4;

/** A long value is said to be one byte longer than its chunks are. */
export function wrongSize(victim: DatabaseVictim, choice: FaultChoice): void {
  // One byte more than a whole number of chunks would be a missing chunk.
  const endsInsideChunk = ({ tree, data }: VictimNode) => {
    const { size } = decodeLongValueRoot(data, 0, data.length);
    return size % longValueChunkSize(victim.pageSize, tree.table?.lvChunkMax) !== 0;
  };
  for (const node of pickRoots(victim, choice, 'long value whose last chunk is not full', endsInsideChunk)) {
    const { size } = decodeLongValueRoot(node.data, 0, node.data.length);
    setDataDword(victim, node, SIZE_AT, size + 1);
    victim.noteTree(node.tree, node.pgno, `the size is ${size + 1} in place of ${size}`, { node: node.line });
  }
}

/** The count of references of a long value is wrong. */
export function wrongCount(direction: 'low' | 'high') {
  return (victim: DatabaseVictim, choice: FaultChoice): void => {
    for (const node of pickRoots(victim, choice, 'long value')) {
      const { referenceCount } = decodeLongValueRoot(node.data, 0, node.data.length);
      const wrong = direction === 'low' ? referenceCount - 1 : referenceCount + 2;
      setDataDword(victim, node, REFERENCES_AT, wrong);
      const what = `the count of references is ${wrong} in place of ${referenceCount}`;
      victim.noteTree(node.tree, node.pgno, what, { node: node.line });
    }
  };
}

/** The root of a long value is gone; its chunks are there. */
export function removeRoot(victim: DatabaseVictim, choice: FaultChoice): void {
  const hasChunks = ({ data }: VictimNode, page: Page) =>
    decodeLongValueRoot(data, 0, data.length).size > 0 && isNotAlone(page);
  for (const node of pickRoots(victim, choice, 'long value with chunks', hasChunks)) {
    victim.edit(node.pgno, (page) => page.deleteNode(node.line));
    victim.noteTree(node.tree, node.pgno, 'the root of the long value is gone', { node: node.line });
  }
}

/** A chunk of a long value is gone. */
export function removeChunk(victim: DatabaseVictim, choice: FaultChoice): void {
  const trees = victim.trees(choice, 'longValue');
  const isChunk = (node: VictimNode, page: Page) => offsetOf(node) !== LONG_VALUE_ROOT && isNotAlone(page);
  for (const node of victim.pickNodes(choice, trees, 'chunk of a long value', isChunk)) {
    const what = `the chunk at offset ${offsetOf(node)} is gone`;
    victim.edit(node.pgno, (page) => page.deleteNode(node.line));
    victim.noteTree(node.tree, node.pgno, what, { node: node.line });
  }
}

/** A row with long values is gone, with its index entries: nobody refers to the values any more. */
export function orphanValues(victim: DatabaseVictim, choice: FaultChoice): void {
  const trees = victim.trees(choice, 'table').filter(({ table }) => table?.longValueTree !== undefined);
  const shared = (node: VictimNode): boolean => separatedLids(victim, node).length > 0;
  const rows = victim.pickNodes(
    choice,
    trees,
    'row with a long value',
    (node, page) => isNotAlone(page) && shared(node),
  );
  for (const row of rows) {
    const entries = entriesOf(victim, row.tree, row.key);
    // From the end of each page, so that the lines before stay what they are.
    for (const { pgno, line } of [...entries].sort((a, b) => b.line - a.line)) {
      if (victim.page(pgno).nodeCount === 1 && !victim.page(pgno).isRoot) {
        throw tooFew(victim.file.path, 'row whose index entries are not alone on their pages', choice, 0);
      }
      victim.edit(pgno, (page) => page.deleteNode(line));
    }
    victim.edit(row.pgno, (page) => page.deleteNode(row.line));
    const lids = separatedLids(victim, row).join(', ');
    victim.noteTree(row.tree, row.pgno, `the row is gone; its long values ${lids} are not`, {
      node: row.line,
    });
  }
}

/** Ids of the long values that a row refers to. */
function separatedLids(victim: DatabaseVictim, { tree, data }: VictimNode): number[] {
  const layout = createRecordLayout(tree.table?.columns ?? [], victim.pageSize);
  const values = createRecordValues(layout);
  const value = createValueView();
  const lids: number[] = [];
  locateColumns(layout, data, 0, data.length, values);
  for (const [index] of (tree.table?.columns ?? []).entries()) {
    for (let sequence = 1; sequence <= valueCount(layout, values, index); sequence++) {
      if (!locateValue(layout, values, index, sequence, value) || !value.separated) continue;
      readLid(value.bytes, value.start, value.end, lid);
      lids.push(lid.high * 2 ** 32 + lid.low);
    }
  }
  return lids;
}
