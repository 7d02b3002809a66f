import { createNodeView, type Page } from '../../format/page.js';
import { encodeExtentData, encodeExtentKey } from '../../format/space.js';
import { randomBelow } from '../../io/seeded-random.js';
import { tagPosition } from './byte-faults.js';
import {
  type DatabaseVictim,
  type FaultChoice,
  shuffled,
  tooFew,
  type VictimNode,
  type VictimTree,
} from './database-victim.js';
import { type PlacedPage, pickPages } from './places.js';

/** Faults of trees, rows and space: single fields are wrong, every checksum is right. */

/** Bytes that a node of this key and data takes on a page, at most. */
const nodeBytes = (key: Uint8Array, data: Uint8Array): number => 4 + 4 + key.length + data.length;

const tableNodes = (
  victim: DatabaseVictim,
  choice: FaultChoice,
  what: string,
  fits?: (node: VictimNode, page: Page) => boolean,
): VictimNode[] => victim.pickNodes(choice, victim.trees(choice, 'table'), what, fits);

/** Two neighbouring rows change their places. */
export function swapTags(victim: DatabaseVictim, choice: FaultChoice): void {
  const hasNext = ({ line }: VictimNode, page: Page) => line + 1 < page.nodeCount;
  for (const { tree, pgno, line } of tableNodes(victim, choice, 'row with another behind it', hasNext)) {
    victim.edit(pgno, (page) => {
      const [a, b] = [line, line + 1].map((one) => tagPosition(page, one + page.reservedTags));
      const [first, second] = [page.view.getUint32(a ?? 0, true), page.view.getUint32(b ?? 0, true)];
      page.view.setUint32(a ?? 0, second, true);
      page.view.setUint32(b ?? 0, first, true);
    });
    victim.noteTree(tree, pgno, `nodes ${line} and ${line + 1} have changed places`, { node: line });
  }
}

/** A row is there twice. */
export function duplicateKey(victim: DatabaseVictim, choice: FaultChoice): void {
  const hasRoom = ({ key, data }: VictimNode, page: Page) => nodeBytes(key, data) <= page.cbFree;
  for (const { tree, pgno, line, key, data } of tableNodes(victim, choice, 'row that fits twice', hasRoom)) {
    victim.edit(pgno, (page) => page.insertKeyed(line + 1, 0, key, data));
    victim.noteTree(tree, pgno, 'the row is there twice', { node: line });
  }
}

/** The variable columns of a row begin behind its end. */
export function breakRecordOffsets(victim: DatabaseVictim, choice: FaultChoice): void {
  const view = createNodeView();
  const isRecord = ({ data }: VictimNode) => data.length > RECORD_HEADER_BYTES;
  for (const { tree, pgno, line } of tableNodes(victim, choice, 'row', isRecord)) {
    victim.edit(pgno, (page) => {
      page.readNode(line, view);
      page.view.setUint16(view.dataOffset + 2, 0x7fff, true);
    });
    victim.noteTree(tree, pgno, 'the offset of the variable columns lies behind the record', { node: line });
  }
}

/** Last fixed column, last variable column, offset of the variable columns (chapter 3.1.1). */
const RECORD_HEADER_BYTES = 4;

/** A leaf names another page as its right neighbour. */
export function breakLink(victim: DatabaseVictim, choice: FaultChoice): void {
  for (const { pgno, note } of belowTheirRoot(victim, choice, 'leaf that has a neighbour')) {
    const { pgnoNext } = victim.source.readPage(pgno);
    victim.edit(pgno, (page) => {
      do page.pgnoNext = 1 + randomBelow(choice.random, victim.lastPgno);
      while (page.pgnoNext === pgnoNext || page.pgnoNext === pgno);
    });
    victim.note({ ...note, pgno, what: `the next page is no longer ${pgnoNext}` });
  }
}

/** Leaves of tables that are not their roots. */
function belowTheirRoot(victim: DatabaseVictim, choice: FaultChoice, what: string): PlacedPage[] {
  const pages = pickPages(victim, choice, 'data');
  if (pages.some(({ pgno }) => victim.page(pgno).isRoot)) throw tooFew(victim.file.path, what, choice, 0);
  return pages;
}

/** What is added to an objid, so that no tree has it. */
const FOREIGN_OBJID = 1000;

/** A page says that it belongs to a tree that does not exist. */
export function foreignObjid(victim: DatabaseVictim, choice: FaultChoice): void {
  for (const { pgno, note } of pickPages(victim, choice, 'data')) {
    const { objid } = victim.source.readPage(pgno);
    victim.edit(pgno, (page) => {
      page.objid = victim.header.objidLast + FOREIGN_OBJID;
    });
    victim.note({ ...note, pgno, what: `the objid is no longer ${objid}` });
  }
}

/** Internal pages of tables with at least this many children. */
function branches(victim: DatabaseVictim, choice: FaultChoice, children: number): PlacedPage[] {
  const trees = victim.trees(choice, 'table');
  const pages = trees.flatMap((tree) =>
    victim
      .pagesOf(tree)
      .internal.filter((pgno) => choice.pgno === undefined || choice.pgno === pgno)
      .filter((pgno) => victim.source.readPage(pgno).nodeCount >= children)
      .map((pgno) => ({ pgno, note: { object: tree.name, objid: tree.objid, table: tree.name } })),
  );
  return victim.pick(choice, pages, `internal page with ${children} children or more`);
}

/** A child of an internal page is the root of the tree. */
export function childLoop(victim: DatabaseVictim, choice: FaultChoice): void {
  const view = createNodeView();
  for (const { pgno, note } of branches(victim, choice, 2)) {
    const tree = victim.trees(choice, 'table').find(({ objid }) => objid === note.objid);
    const line = randomBelow(choice.random, victim.source.readPage(pgno).nodeCount);
    victim.edit(pgno, (page) => {
      page.readNode(line, view);
      page.view.setUint32(view.dataOffset, tree?.pgnoFdp ?? pgno, true);
    });
    victim.note({ ...note, pgno, node: line, what: 'a child is the root of its own tree' });
  }
}

/** A separator lies behind the first key of the page that it leads away from. */
export function wrongSeparator(victim: DatabaseVictim, choice: FaultChoice): void {
  const view = createNodeView();
  for (const { pgno, note } of branches(victim, choice, 3)) {
    const branch = victim.source.readPage(pgno);
    // The last node, and on the right edge the one before it, have nothing behind them to be compared with.
    const line = randomBelow(choice.random, branch.nodeCount - 2);
    branch.readNode(line, view);
    const child = branch.childPgno(view);
    branch.readNode(line + 1, view);
    const next = victim.source.readPage(branch.childPgno(view));
    next.readNode(0, view);
    const key = Uint8Array.of(...next.key(view), 0);
    victim.edit(pgno, (page) => {
      page.deleteNode(line);
      const pointer = new Uint8Array(4);
      new DataView(pointer.buffer).setUint32(0, child, true);
      page.insertKeyed(line, 0, key, pointer);
    });
    victim.note({ ...note, pgno, node: line, what: 'the separator is greater than the first key behind it' });
  }
}

/** A leaf of a table is given as available. */
export function pageAvailable(victim: DatabaseVictim, choice: FaultChoice): void {
  let left = choice.count;
  for (const tree of shuffled(choice.random, victim.trees(choice, 'table'))) {
    const root = victim.spaceRoot(tree, 'available');
    const leaves = victim
      .pagesOf(tree)
      .leaves.filter((pgno) => choice.pgno === undefined || choice.pgno === pgno);
    const [leaf] = shuffled(
      choice.random,
      leaves.filter((pgno) => pgno !== tree.pgnoFdp),
    );
    if (root === undefined || leaf === undefined || left === 0) continue;
    const pgno = addExtent(victim, root, leaf);
    victim.noteTree(tree, pgno, `page ${leaf}, which is in use, is available too`);
    left--;
  }
  if (left > 0)
    throw tooFew(victim.file.path, 'table of several extents and leaves', choice, choice.count - left);
}

/** A table owns the root of another one. */
export function overlapExtents(victim: DatabaseVictim, choice: FaultChoice): void {
  const all = victim.trees({ ...choice, table: undefined }, 'table');
  let left = choice.count;
  for (const tree of shuffled(choice.random, victim.trees(choice, 'table'))) {
    const root = victim.spaceRoot(tree, 'owned');
    const [other] = shuffled(
      choice.random,
      all.filter(({ objid }) => objid !== tree.objid),
    );
    if (root === undefined || other === undefined || left === 0) continue;
    const pgno = addExtent(victim, root, other.pgnoFdp);
    victim.noteTree(tree, pgno, `it owns page ${other.pgnoFdp} too, the root of ${other.name}`);
    left--;
  }
  if (left > 0) throw tooFew(victim.file.path, 'table of several extents beside another one', choice, 0);
}

/** Puts an extent of one page into a space tree; returns the page that has it. */
function addExtent(
  victim: DatabaseVictim,
  root: { readonly pgnoFdp: number; readonly objid: number },
  extent: number,
): number {
  const key = encodeExtentKey(extent);
  const view = createNodeView();
  const { leaves } = victim.pagesOf(root);
  for (const pgno of leaves) {
    const page = victim.page(pgno);
    let line = 0;
    let order = 1;
    while (line < page.nodeCount) {
      page.readNode(line, view);
      order = page.compareKey(view, key);
      if (order >= 0) break;
      line++;
    }
    if (line === page.nodeCount && pgno !== leaves.at(-1)) continue;
    victim.edit(pgno, (edited) => {
      // The node of an extent that was used up may still be there, marked as deleted.
      if (order === 0) edited.deleteNode(line);
      edited.insertKeyed(line, 0, key, encodeExtentData(1));
    });
    return pgno;
  }
  throw tooFew(victim.file.path, 'leaf in the space tree', {}, 0);
}

/** A space tree has a page in use among those that it keeps to split itself. */
export function wrongSplitBuffer(victim: DatabaseVictim, choice: FaultChoice): void {
  const trees = shuffled(choice.random, victim.trees(choice, 'table')).flatMap((tree) => {
    const root = victim.spaceRoot(tree, 'owned');
    return root === undefined ? [] : [{ tree, root }];
  });
  for (const { tree, root } of victim.pick(choice, trees, 'table of several extents')) {
    const used = victim.pagesOf(tree).leaves[0] ?? tree.pgnoFdp;
    victim.edit(root.pgnoFdp, (page) => {
      const buffer = new Uint8Array(SPLIT_BUFFER_BYTES);
      buffer.set(page.externalHeader.subarray(0, SPLIT_BUFFER_BYTES));
      const view = new DataView(buffer.buffer);
      view.setUint32(0, used, true);
      view.setUint32(4, 1, true);
      page.setExternalHeader(buffer);
    });
    victim.noteTree(tree, root.pgnoFdp, `page ${used}, which is in use, is kept to split the space tree`);
  }
}

const SPLIT_BUFFER_BYTES = 16;

/** Index entries that lead to a row, over all indexes of its table. */
export function entriesOf(victim: DatabaseVictim, table: VictimTree, bookmark: Uint8Array): VictimNode[] {
  const { table: definition } = table;
  if (definition === undefined) return [];
  return victim
    .treesOf(definition)
    .filter(({ kind }) => kind === 'index')
    .flatMap((tree) =>
      victim
        .pagesOf(tree)
        .leaves.flatMap((pgno) => victim.nodesOf(tree, victim.source.readPage(pgno)))
        .filter(({ data }) => Buffer.compare(data, bookmark) === 0),
    );
}

/** An entry of a secondary index is gone. */
export function removeEntry(victim: DatabaseVictim, choice: FaultChoice): void {
  const isNotAlone = (_node: VictimNode, page: Page) => page.nodeCount > 1;
  for (const node of victim.pickNodes(choice, victim.trees(choice, 'index'), 'index entry', isNotAlone)) {
    const { tree, pgno, line, key } = node;
    victim.edit(pgno, (page) => page.deleteNode(line));
    const hex = Buffer.from(key).toString('hex');
    victim.noteTree(tree, pgno, `the entry of key ${hex} is gone`, { node: line });
  }
}

/** A secondary index has an entry of a row that does not exist. */
export function addEntry(victim: DatabaseVictim, choice: FaultChoice): void {
  const trees = victim.trees(choice, 'index').filter(({ index }) => index?.unique === false);
  const hasRoom = ({ key, data }: VictimNode, page: Page) =>
    data.length > 0 && nodeBytes(key, data) <= page.cbFree;
  for (const node of victim.pickNodes(choice, trees, 'entry of an index that is not unique', hasRoom)) {
    const { tree, pgno, line, key, data } = node;
    // Directly behind the entry that it is a copy of: no bookmark lies between the two.
    const bookmark = Uint8Array.of(...data, 0);
    victim.edit(pgno, (page) => page.insertKeyed(line + 1, 0, key, bookmark));
    victim.noteTree(tree, pgno, 'an entry leads to a row that does not exist', { node: line + 1 });
  }
}
