import type { TreeRoot } from '../../engine/tree-reader.js';
import { OBJID_CATALOG_NAME_INDEX, OBJID_CATALOG_ROOT_OBJECTS_INDEX } from '../../format/catalog-row.js';
import { EseError } from '../../format/ese-error.js';
import {
  DATABASE_TREE,
  type DatabaseVictim,
  type FaultChoice,
  tooFew,
  treeNote,
  type VictimTree,
} from './database-victim.js';
import type { FaultNote } from './victim-file.js';

/** Where in a database a page can be damaged. Of the trees of tables, leaves and branches below the root come first. */
export const DATABASE_PLACES = {
  header: 'the header',
  'shadow-header': 'the second copy of the header',
  'both-headers': 'both copies of the header',
  data: 'a leaf of a table',
  branch: 'an internal page of a table',
  root: 'the root page of a table',
  'owned-space': 'a page of the tree of owned extents of a table',
  'available-space': 'a page of the tree of available extents of a table',
  'database-root': 'the root page of the database, or of its space trees',
  'long-value': 'a leaf of a long-value tree',
  index: 'a leaf of a secondary index',
  catalog: 'a leaf of the catalog',
  'shadow-catalog': 'a leaf of the shadow catalog',
  'both-catalogs': 'the leaf of the catalog, and of its shadow, that holds the same rows',
  'catalog-index': 'a leaf of an index of the catalog',
} as const;

export type DatabasePlace = keyof typeof DATABASE_PLACES;

/** A page to be damaged, and what it is. */
export interface PlacedPage {
  readonly pgno: number;
  readonly note: Partial<FaultNote>;
}

const HEADER = -1;
const SHADOW_HEADER = 0;
/** Page 1 and the roots of its space trees. */
const DATABASE_ROOTS = [1, 2, 3];

/**
 * The pages that a fault hits.
 *
 * @throws EseError JET_errObjectNotFound where the database has no such page, or not that many
 */
export function pickPages(victim: DatabaseVictim, choice: FaultChoice, place: DatabasePlace): PlacedPage[] {
  const { pgno } = choice;
  if (pgno !== undefined) return [{ pgno, note: noteOfPage(victim, pgno) }];
  const pair = together(victim, choice, place);
  if (pair !== undefined) return pair;
  return victim.pick(choice, pagesAt(victim, choice, place), `page that is ${DATABASE_PLACES[place]}`);
}

/** Places that mean two pages at once. */
function together(
  victim: DatabaseVictim,
  choice: FaultChoice,
  place: DatabasePlace,
): PlacedPage[] | undefined {
  if (place === 'both-headers') return [HEADER, SHADOW_HEADER].map((pgno) => ({ pgno, note: {} }));
  if (place !== 'both-catalogs') return undefined;
  const [primary, shadow] = ['MSysObjects', 'MSysObjectsShadow'].map((name) => catalogLeaves(victim, name));
  // Leaves that begin with the same key hold the same rows, or nearly so.
  const firstKey = (pgno: number): string => {
    const page = victim.source.readPage(pgno);
    const [node] = victim.nodesOf(DATABASE_TREE, page);
    return node === undefined ? '' : Buffer.from(node.key).toString('hex');
  };
  const byKey = new Map((shadow ?? []).map((page) => [firstKey(page.pgno), page]));
  const pairs = (primary ?? []).flatMap((page) => {
    const twin = byKey.get(firstKey(page.pgno));
    return twin === undefined ? [] : [[page, twin]];
  });
  const [pair] = victim.pick({ ...choice, count: 1 }, pairs, 'pair of catalog leaves that begin alike');
  return pair;
}

/** All pages of a place. */
export function pagesAt(victim: DatabaseVictim, choice: FaultChoice, place: DatabasePlace): PlacedPage[] {
  switch (place) {
    case 'header':
    case 'shadow-header':
      return [{ pgno: place === 'header' ? HEADER : SHADOW_HEADER, note: {} }];
    case 'database-root':
      return DATABASE_ROOTS.map((pgno) => ({ pgno, note: treeNote(DATABASE_TREE) }));
    case 'root':
      return victim.trees(choice, 'table').map((tree) => ({ pgno: tree.pgnoFdp, note: treeNote(tree) }));
    case 'branch':
      return belowRoot(victim, choice, 'table', 'internal');
    case 'long-value':
      return belowRoot(victim, choice, 'longValue', 'leaves');
    case 'index':
      return belowRoot(victim, choice, 'index', 'leaves');
    case 'owned-space':
    case 'available-space':
      return victim
        .trees(choice, 'table')
        .flatMap((tree) => spacePages(victim, tree, place === 'owned-space' ? 'owned' : 'available'));
    case 'catalog':
      return catalogLeaves(victim, 'MSysObjects');
    case 'shadow-catalog':
      return catalogLeaves(victim, 'MSysObjectsShadow');
    case 'catalog-index':
      return victim
        .treesOf(victim.reader.table('MSysObjects'))
        .filter(
          ({ objid }) => objid === OBJID_CATALOG_NAME_INDEX || objid === OBJID_CATALOG_ROOT_OBJECTS_INDEX,
        )
        .flatMap((tree) => pagesOfTree(victim, tree, 'leaves'));
    default:
      return belowRoot(victim, choice, 'table', 'leaves');
  }
}

/** Pages of trees other than their roots; where there are no others, the roots. */
function belowRoot(
  victim: DatabaseVictim,
  choice: FaultChoice,
  kind: VictimTree['kind'],
  which: 'internal' | 'leaves',
): PlacedPage[] {
  const trees = victim.trees(choice, kind);
  const pages = trees.flatMap((tree) => pagesOfTree(victim, tree, which));
  const roots = new Set(trees.map(({ pgnoFdp }) => pgnoFdp));
  const below = pages.filter(({ pgno }) => !roots.has(pgno));
  return below.length > 0 ? below : pages;
}

function pagesOfTree(victim: DatabaseVictim, tree: VictimTree, which: 'internal' | 'leaves'): PlacedPage[] {
  return victim.pagesOf(tree)[which].map((pgno) => ({ pgno, note: treeNote(tree) }));
}

function spacePages(victim: DatabaseVictim, tree: VictimTree, which: 'owned' | 'available'): PlacedPage[] {
  const root: TreeRoot | undefined = victim.spaceRoot(tree, which);
  if (root === undefined) return [];
  const { internal, leaves } = victim.pagesOf(root);
  const note = { ...treeNote(tree), object: `${tree.name}, ${which} extents` };
  return [...internal, ...leaves].map((pgno) => ({ pgno, note }));
}

function catalogLeaves(victim: DatabaseVictim, name: string): PlacedPage[] {
  const table = victim.reader.table(name);
  const [tree] = victim.treesOf(table);
  const pages = tree === undefined ? [] : pagesOfTree(victim, tree, 'leaves');
  const below = pages.filter(({ pgno }) => pgno !== table.pgnoFdp);
  return below.length > 0 ? below : pages;
}

/** What is known of a page that the caller named: the tree whose objid it carries. */
function noteOfPage(victim: DatabaseVictim, pgno: number): Partial<FaultNote> {
  if (pgno < 1 || pgno > victim.lastPgno) throw tooFew(victim.file.path, 'such page', { count: 1, pgno }, 0);
  const { objid } = victim.page(pgno);
  try {
    for (const table of victim.reader.tables()) {
      const tree = victim.treesOf(table).find((one) => one.objid === objid);
      if (tree !== undefined) return treeNote(tree);
    }
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
  }
  return objid === 0 ? {} : { objid };
}
