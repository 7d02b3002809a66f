import {
  CATALOG_COLUMNS,
  CATALOG_TYPE,
  type CatalogRow,
  createCatalogRowDecoder,
} from '../../format/catalog-row.js';
import { createNodeView, NODE_FLAG } from '../../format/page.js';
import {
  type DatabaseVictim,
  type FaultChoice,
  tooFew,
  treeNote,
  type VictimNode,
  type VictimTree,
} from './database-victim.js';

/** Faults of catalog rows: what they say of other objects is wrong, every checksum is right. */

/** Which copies of the catalog a fault hits. */
export type CatalogCopies = 'catalog' | 'shadow-catalog' | 'both-catalogs';

const COPY_NAMES: Readonly<Record<CatalogCopies, readonly string[]>> = {
  catalog: ['MSysObjects'],
  'shadow-catalog': ['MSysObjectsShadow'],
  'both-catalogs': ['MSysObjects', 'MSysObjectsShadow'],
};

const COLUMN_ID = 3;
const COLUMN_PGNO_FDP = 4;
const offsetOfColumn = (id: number): number =>
  CATALOG_COLUMNS.find(({ columnId }) => columnId === id)?.fixedOffset ?? 0;

interface RowPlace extends VictimNode {
  readonly row: CatalogRow;
}

/** Rows of one copy of the catalog. */
function rowsOf(victim: DatabaseVictim, name: string): RowPlace[] {
  const [tree] = victim.treesOf(victim.reader.table(name));
  if (tree === undefined) return [];
  const decode = createCatalogRowDecoder(victim.pageSize);
  return victim
    .pagesOf(tree)
    .leaves.flatMap((pgno) => victim.nodesOf(tree, victim.source.readPage(pgno)))
    .map((node) => ({ ...node, row: decode(node.data, 0, node.data.length) }));
}

/** The row of a tree, in the copies that are to be damaged. */
function placesOf(victim: DatabaseVictim, copies: CatalogCopies, tree: VictimTree): RowPlace[] {
  const type = { table: CATALOG_TYPE.table, index: CATALOG_TYPE.index, longValue: CATALOG_TYPE.longValue };
  return COPY_NAMES[copies].flatMap((name) =>
    rowsOf(victim, name).filter(
      ({ row }) =>
        row.objidTable === tree.table?.objid &&
        row.type === type[tree.kind as keyof typeof type] &&
        row.id === tree.objid,
    ),
  );
}

function setDword(victim: DatabaseVictim, { pgno, line }: RowPlace, columnId: number, value: number): void {
  const view = createNodeView();
  victim.edit(pgno, (page) => {
    page.readNode(line, view);
    page.view.setUint32(view.dataOffset + offsetOfColumn(columnId), value, true);
  });
}

/** A table is said to have its root elsewhere: on a page that is no root. */
export function wrongRoot(copies: CatalogCopies) {
  return (victim: DatabaseVictim, choice: FaultChoice): void => {
    const trees = victim.trees(choice, 'table');
    for (const tree of victim.pick(choice, trees, 'table')) {
      const leaf = victim.pagesOf(tree).leaves.find((pgno) => pgno !== tree.pgnoFdp);
      const wrong = leaf ?? victim.lastPgno;
      for (const place of placesOf(victim, copies, tree)) {
        setDword(victim, place, COLUMN_PGNO_FDP, wrong);
        victim.note({
          ...treeNote(tree),
          pgno: place.pgno,
          node: place.line,
          what: `the root is said to be page ${wrong} in place of ${tree.pgnoFdp}`,
        });
      }
    }
  };
}

/** An index or long-value tree that is about to be said to be another one. */
function victimAndModel(victim: DatabaseVictim, choice: FaultChoice): [VictimTree, VictimTree] {
  const trees = [...victim.trees(choice, 'index'), ...victim.trees(choice, 'longValue')];
  const [tree] = victim.pick({ ...choice, count: 1 }, trees, 'index');
  const others = victim
    .trees({ ...choice, table: undefined, index: undefined }, 'index')
    .filter(({ objid }) => objid !== tree?.objid);
  const [model] = victim.pick({ ...choice, count: 1 }, others, 'other index');
  if (tree === undefined || model === undefined) throw tooFew(victim.file.path, 'index', choice, 0);
  return [tree, model];
}

/** An object is said to have the root of another one. */
export function duplicateFdp(copies: CatalogCopies) {
  return (victim: DatabaseVictim, choice: FaultChoice): void => {
    const [tree, model] = victimAndModel(victim, choice);
    for (const place of placesOf(victim, copies, tree)) {
      setDword(victim, place, COLUMN_PGNO_FDP, model.pgnoFdp);
      const what = `the root is said to be page ${model.pgnoFdp}, which is that of ${model.name}`;
      victim.note({ ...treeNote(tree), pgno: place.pgno, node: place.line, what });
    }
  };
}

/** An object is said to have the objid of another one: in its row, in the key of the row, in the index Name. */
export function duplicateObjid(copies: CatalogCopies) {
  return (victim: DatabaseVictim, choice: FaultChoice): void => {
    const [tree, model] = victimAndModel(victim, choice);
    for (const place of placesOf(victim, copies, tree)) {
      const { pgno, line, key } = place;
      const wrongKey = withId(key, model.objid);
      setDword(victim, place, COLUMN_ID, model.objid);
      moveNode(victim, place, wrongKey);
      if (place.tree.name === 'MSysObjects') moveNameEntry(victim, key, wrongKey);
      const what = `the objid is said to be ${model.objid}, which is that of ${model.name}`;
      victim.note({ ...treeNote(tree), pgno, node: line, what });
    }
  };
}

/** The key (ObjidTable, Type, Id) with another id: its last four bytes, of which the first bit is turned. */
function withId(key: Uint8Array, id: number): Uint8Array {
  const changed = key.slice();
  new DataView(changed.buffer).setUint32(changed.length - 4, (id ^ 0x80000000) >>> 0, false);
  return changed;
}

/** Gives a row another key, in the order of its page. */
function moveNode(victim: DatabaseVictim, { pgno, line }: VictimNode, key: Uint8Array): void {
  const view = createNodeView();
  victim.edit(pgno, (page) => {
    page.readNode(line, view);
    const data = page.data(view).slice();
    page.deleteNode(line);
    let to = 0;
    while (to < page.nodeCount) {
      page.readNode(to, view);
      if (page.compareKey(view, key) >= 0) break;
      to++;
    }
    page.insertKeyed(to, 0, key, data);
  });
}

/** The entry of the catalog index Name that leads to a row leads to it under its new key. */
function moveNameEntry(victim: DatabaseVictim, key: Uint8Array, wrongKey: Uint8Array): void {
  const view = createNodeView();
  const catalog = victim.treesOf(victim.reader.table('MSysObjects'));
  for (const tree of catalog.filter(({ kind }) => kind === 'index')) {
    for (const pgno of victim.pagesOf(tree).leaves) {
      const page = victim.page(pgno);
      for (let line = 0; line < page.nodeCount; line++) {
        page.readNode(line, view);
        if ((view.flags & NODE_FLAG.deleted) !== 0 || Buffer.compare(page.data(view), key) !== 0) continue;
        victim.edit(pgno, (edited) => edited.replaceData(line, wrongKey));
        break;
      }
    }
  }
}
