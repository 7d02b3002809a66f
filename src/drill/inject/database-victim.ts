import { type DatabaseReader, openDatabaseReader } from '../../engine/database-reader.js';
import { createFilePageSource, type PageSource } from '../../engine/page-source.js';
import { readTreeSpace } from '../../engine/space-reader.js';
import { type TreeRoot, treePages } from '../../engine/tree-reader.js';
import { OBJID_DATABASE, PGNO_DATABASE } from '../../format/catalog-row.js';
import { type DatabaseHeader, type HeaderChanges, writeHeaderFields } from '../../format/database-header.js';
import { EseError } from '../../format/ese-error.js';
import { createNodeView, NODE_FLAG, Page, pageOffset } from '../../format/page.js';
import { sealPages } from '../../format/page-checksum.js';
import { hasMultipleExtents } from '../../format/space.js';
import type { IndexDefinition, TableDefinition } from '../../format/table-definition.js';
import { type Random, randomBelow } from '../../io/seeded-random.js';
import type { FaultNote, FileBlock, VictimFile } from './victim-file.js';

/** What the caller wants damaged, and the chance that chooses among what is left. */
export interface FaultChoice {
  readonly random: Random;
  /** How many victims: pages, nodes, rows. */
  readonly count: number;
  readonly table?: string | undefined;
  /** A secondary index of the table. */
  readonly index?: string | undefined;
  readonly pgno?: number | undefined;
  /** An older copy of the file, for pages that are to become old again. */
  readonly older?: DatabaseReader | undefined;
}

/** A tree of the database, as reports name it. */
export interface VictimTree extends TreeRoot {
  readonly name: string;
  readonly kind: 'database' | 'table' | 'index' | 'longValue';
  readonly table?: TableDefinition;
  readonly index?: IndexDefinition;
}

/** A node that can be a victim. */
export interface VictimNode {
  readonly tree: VictimTree;
  readonly pgno: number;
  readonly line: number;
  readonly key: Uint8Array;
  readonly data: Uint8Array;
}

/** A database to be damaged: its trees as they were, and pages that can be changed. */
export class DatabaseVictim {
  readonly file: VictimFile;
  readonly reader: DatabaseReader;
  /** The undamaged pages. */
  readonly source: PageSource;
  readonly pageSize: number;

  constructor(file: VictimFile) {
    this.file = file;
    this.reader = openDatabaseReader(file.fs, file.path);
    this.pageSize = this.reader.pageSize;
    this.source = createFilePageSource(file.file, this.pageSize);
  }

  get header(): DatabaseHeader {
    return this.reader.header;
  }

  get lastPgno(): number {
    return this.source.lastPgno;
  }

  close(): void {
    this.reader.close();
  }

  /** The page as it is now; what is done to its bytes is done to the file, its checksum stays. */
  page(pgno: number): Page {
    return new Page(this.block(pgno).bytes, pgno);
  }

  /** Page `pgno`, the header (-1) or its shadow (0). */
  block(pgno: number): FileBlock {
    if (pgno < -1 || pgno > this.lastPgno) {
      throw new EseError('JET_errInvalidParameter', `the database has pages 1 to ${this.lastPgno}`, {
        file: this.file.path,
        pgno,
      });
    }
    return this.file.block(pageOffset(pgno, this.pageSize), this.pageSize, { pgno });
  }

  /** Changes a page and makes its checksum right. */
  edit(pgno: number, change: (page: Page) => void): void {
    const { words, bytes } = this.block(pgno);
    change(new Page(bytes, pgno));
    sealPages(words, 0, 1, this.pageSize, pgno);
  }

  /** Changes fields of header copies (-1 and 0), and makes their checksums right. */
  editHeader(changes: HeaderChanges, copies: readonly number[] = [-1, 0]): void {
    for (const copy of copies) writeHeaderFields(this.block(copy).bytes, changes);
  }

  note(note: FaultNote): void {
    this.file.note(note);
  }

  /** The note of a fault in a tree. */
  noteTree(tree: VictimTree, pgno: number, what: string, more: Partial<FaultNote> = {}): void {
    this.note({ what, pgno, ...treeNote(tree), ...more });
  }

  /** Tables that faults may hit: the one that was asked for, else all that are no system tables. */
  tables({ table }: FaultChoice): readonly TableDefinition[] {
    if (table !== undefined) return [this.reader.table(table)];
    return this.reader.tables().filter(({ system, name }) => !system && !name.startsWith('MSys'));
  }

  /** All trees of a table. */
  treesOf(table: TableDefinition): VictimTree[] {
    const { name, objid, pgnoFdp, longValueTree } = table;
    const trees: VictimTree[] = [{ name, objid, pgnoFdp, kind: 'table', table }];
    for (const index of table.indexes) {
      if (index.objid === objid) continue;
      trees.push({
        name: `${name}/${index.name}`,
        objid: index.objid,
        pgnoFdp: index.pgnoFdp,
        kind: 'index',
        table,
        index,
      });
    }
    if (longValueTree !== undefined) {
      const { objid: objidLv, pgnoFdp: pgnoLv } = longValueTree;
      trees.push({ name: `${name}/LV`, objid: objidLv, pgnoFdp: pgnoLv, kind: 'longValue', table });
    }
    return trees;
  }

  /** Trees of one kind that faults may hit. */
  trees(choice: FaultChoice, kind: VictimTree['kind']): VictimTree[] {
    if (kind === 'database') return [DATABASE_TREE];
    const wanted = choice.index?.toUpperCase();
    return this.tables(choice)
      .flatMap((table) => this.treesOf(table))
      .filter(
        (tree) =>
          tree.kind === kind &&
          (kind !== 'index' || wanted === undefined || tree.index?.name.toUpperCase() === wanted),
      );
  }

  /** Pages of a tree that can be read: internal ones, and leaves in key order. */
  pagesOf(tree: TreeRoot): { readonly internal: readonly number[]; readonly leaves: readonly number[] } {
    const internal: number[] = [];
    const leaves: number[] = [];
    for (const { page } of treePages(this.source, tree, () => {})) {
      (page.isLeaf ? leaves : internal).push(page.pgno);
    }
    return { internal, leaves };
  }

  /** Root of the OE or AE tree of a tree; undefined where it has a single extent. */
  spaceRoot(tree: TreeRoot, which: 'owned' | 'available'): TreeRoot | undefined {
    const { header } = readTreeSpace(this.source, tree);
    if (!hasMultipleExtents(header)) return undefined;
    return { objid: tree.objid, pgnoFdp: which === 'owned' ? header.pgnoOe : header.pgnoOe + 1 };
  }

  /** Live nodes of a leaf, with keys and data of their own. */
  nodesOf(tree: VictimTree, leaf: Page): VictimNode[] {
    const node = createNodeView();
    const nodes: VictimNode[] = [];
    for (let line = 0; line < leaf.nodeCount; line++) {
      leaf.readNode(line, node);
      if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
      nodes.push({ tree, pgno: leaf.pgno, line, key: leaf.key(node), data: leaf.data(node).slice() });
    }
    return nodes;
  }

  /**
   * Chooses `choice.count` nodes that `fits` accepts, at most one of a page: leaves are looked at in random order.
   *
   * @throws EseError JET_errObjectNotFound where there are not that many
   */
  pickNodes(
    choice: FaultChoice,
    trees: readonly VictimTree[],
    what: string,
    fits: (node: VictimNode, page: Page) => boolean = () => true,
  ): VictimNode[] {
    const leaves = trees.flatMap((tree) =>
      this.pagesOf(tree)
        .leaves.filter((pgno) => choice.pgno === undefined || choice.pgno === pgno)
        .map((pgno) => ({ tree, pgno })),
    );
    const picked: VictimNode[] = [];
    for (const { tree, pgno } of shuffled(choice.random, leaves)) {
      if (picked.length === choice.count) break;
      const page = this.source.readPage(pgno);
      const found = this.nodesOf(tree, page).filter((node) => fits(node, page));
      const [node] = found.length === 0 ? [] : [found[randomBelow(choice.random, found.length)]];
      if (node !== undefined) picked.push(node);
    }
    if (picked.length < choice.count) throw tooFew(this.file.path, what, choice, picked.length);
    return picked;
  }

  /** Chooses `choice.count` of what there is. @throws EseError JET_errObjectNotFound where there are not that many */
  pick<T>(choice: FaultChoice, list: readonly T[], what: string): T[] {
    if (list.length < choice.count) throw tooFew(this.file.path, what, choice, list.length);
    return shuffled(choice.random, list).slice(0, choice.count);
  }
}

export const DATABASE_TREE: VictimTree = {
  name: 'database',
  objid: OBJID_DATABASE,
  pgnoFdp: PGNO_DATABASE,
  kind: 'database',
};

/** What a note says about a tree. */
export function treeNote({ name, objid, table }: VictimTree): Partial<FaultNote> {
  return { object: name, objid, ...(table === undefined ? {} : { table: table.name }) };
}

export function tooFew(file: string, what: string, choice: Partial<FaultChoice>, found: number): EseError {
  const { count = 1, table, index, pgno } = choice;
  const where = [
    table === undefined ? '' : ` in table ${table}`,
    index === undefined ? '' : ` in index ${index}`,
    pgno === undefined ? '' : ` on page ${pgno}`,
  ].join('');
  return new EseError(
    'JET_errObjectNotFound',
    found === 0 ? `there is no ${what}${where}` : `there are only ${found} of ${count}: ${what}${where}`,
    { file },
  );
}

/** A copy in random order. */
export function shuffled<T>(random: Random, list: readonly T[]): T[] {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const other = randomBelow(random, i + 1);
    [copy[i], copy[other]] = [copy[other] as T, copy[i] as T];
  }
  return copy;
}
