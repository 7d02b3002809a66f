import type { InjectOptions } from '../../src/drill/inject.js';

/** Rows of the corruption matrix (format specification, chapter 7.6.2) that damage a database. */
export interface MatrixRow {
  /** Number in the matrix. */
  readonly row: number;
  readonly what: string;
  readonly inject: Omit<InjectOptions, 'seed'>;
  readonly k: {
    /** Default: `done`. */
    readonly error?: string;
    /** Findings of `/k`; all of them. */
    readonly codes?: readonly string[] | 'any';
    /** Pages that are blank, and were not before. */
    readonly uninitialized?: number;
  };
  readonly g: {
    /** Default: `done`. */
    readonly error?: string;
    /** Findings that must be there. */
    readonly codes: readonly string[];
    /** Findings that may be there beside them: what follows from the damage. */
    readonly also?: readonly string[] | 'any';
    readonly catalogUsed?: 'primary' | 'shadow' | 'none';
    readonly dirty?: true;
  };
  readonly p: {
    /** `repair` throws, and the file is as it was. */
    readonly error?: string;
    readonly forceHeader?: true;
    /** What may be lost: nothing (the default), rows, values of rows, or what only the lost catalog rows say. */
    readonly loses?: 'rows' | 'values' | 'catalog';
    /** How many rows or values at most. Default: any number. */
    readonly most?: number;
    /** The fault itself takes rows away; what is left is what must be there afterwards. */
    readonly oracle?: 'after the damage';
    /** Whether signature and repair count stay. Default: the signature is changed twice. */
    readonly identity?: 'kept' | 'any';
    /** Default: `repaired`. */
    readonly action?: 'none';
  };
}

const CORRUPT = 'JET_errDatabaseCorrupted';
const BAD = ['E PAGE_BAD_CHECKSUM'];
/** What follows where a tree is looked for on another page; one behind the last owned page may hold anything. */
const ELSEWHERE = [
  'E CAT_DUP_FDP',
  'E CAT_ENTRY',
  'E IDX_EXTRA',
  'E NODE_PREFIX',
  'E PAGE_BAD_CHECKSUM',
  'E PAGE_FLAGS',
  'E PAGE_NOT_INITIALIZED',
  'E SPACE_AE_CONFLICT',
  'E SPACE_HEADER',
  'E SPACE_OE_CONFLICT',
  'W LV_ORPHAN',
];
/** What follows where a page of a tree is lost. */
const AFTER_LOSS = ['E IDX_EXTRA', 'E IDX_MISSING', 'E REC_LID_MISSING', 'W LV_ORPHAN', 'W LV_REF_HIGH'];

export const MATRIX: readonly MatrixRow[] = [
  {
    row: 1,
    what: 'one flipped bit in the header',
    inject: { fault: 'bit-flip', at: 'header' },
    k: { error: CORRUPT, codes: ['E HDR_PRIMARY_BAD'] },
    g: { codes: ['W HDR_PRIMARY_BAD'] },
    p: { identity: 'kept' },
  },
  ...['two-flips', 'zero-page', 'random-bytes'].map(
    (fault): MatrixRow => ({
      row: 2,
      what: `${fault} in the header`,
      inject: { fault, at: 'header' },
      k: { error: CORRUPT, codes: ['E HDR_PRIMARY_BAD'] },
      g: { codes: ['W HDR_PRIMARY_BAD'] },
      p: { identity: 'kept' },
    }),
  ),
  ...['two-flips', 'zero-page'].map(
    (fault): MatrixRow => ({
      row: 3,
      what: `${fault} in the shadow header`,
      inject: { fault, at: 'shadow-header' },
      k: { error: CORRUPT, codes: ['E HDR_SHADOW_BAD'] },
      g: { codes: ['W HDR_SHADOW_BAD'] },
      p: { identity: 'kept' },
    }),
  ),
  {
    row: 4,
    what: 'two-flips in both headers',
    inject: { fault: 'two-flips', at: 'both-headers' },
    k: { error: CORRUPT },
    g: { error: CORRUPT, codes: ['E HDR_BOTH_BAD'] },
    p: { error: CORRUPT },
  },
  {
    row: 4,
    what: 'two-flips in both headers, and a header to be made',
    inject: { fault: 'two-flips', at: 'both-headers' },
    k: { error: CORRUPT },
    g: { error: CORRUPT, codes: ['E HDR_BOTH_BAD'] },
    p: { forceHeader: true },
  },
  {
    row: 5,
    what: 'a dirty header',
    inject: { fault: 'header-dirty' },
    k: {},
    g: { codes: [], dirty: true },
    p: {},
  },
  {
    row: 6,
    what: 'a dbtime that is too small',
    inject: { fault: 'header-dbtime' },
    k: {},
    g: { error: CORRUPT, codes: ['E PAGE_DBTIME'] },
    p: {},
  },
  {
    row: 7,
    what: 'another page size in the header',
    inject: { fault: 'header-page-size' },
    // A smaller size passes as a header, since headers end in zeros: then it is the pages that do not.
    k: { error: CORRUPT, codes: 'any' },
    g: { error: CORRUPT, codes: [], also: 'any' },
    p: { identity: 'any' },
  },
  {
    row: 8,
    what: 'two valid headers that differ',
    inject: { fault: 'header-differs' },
    k: {},
    g: { codes: ['W HDR_SHADOW_BAD'] },
    p: { identity: 'kept' },
  },
  {
    row: 9,
    what: 'one flipped bit in the catalog',
    inject: { fault: 'bit-flip', at: 'catalog' },
    k: { codes: ['W PAGE_ECC_FIXED'] },
    g: { codes: ['W PAGE_ECC_FIXED'] },
    p: { identity: 'kept' },
  },
  {
    row: 10,
    what: 'two-flips in the catalog',
    inject: { fault: 'two-flips', at: 'catalog' },
    k: { error: CORRUPT, codes: BAD },
    g: { error: CORRUPT, codes: ['E CAT_PRIMARY_BAD', ...BAD], catalogUsed: 'shadow' },
    p: {},
  },
  {
    row: 10,
    what: 'zero-page in the catalog',
    inject: { fault: 'zero-page', at: 'catalog' },
    k: { uninitialized: 1 },
    g: { error: CORRUPT, codes: ['E CAT_PRIMARY_BAD', 'E PAGE_NOT_INITIALIZED'], catalogUsed: 'shadow' },
    p: {},
  },
  {
    row: 10,
    what: 'foreign-page in the catalog',
    inject: { fault: 'foreign-page', at: 'catalog' },
    k: { error: CORRUPT, codes: ['E PAGE_WRONG_PGNO'] },
    g: { error: CORRUPT, codes: ['E CAT_PRIMARY_BAD', 'E PAGE_WRONG_PGNO'], catalogUsed: 'shadow' },
    p: {},
  },
  {
    row: 11,
    what: 'two-flips in the shadow catalog',
    inject: { fault: 'two-flips', at: 'shadow-catalog' },
    k: { error: CORRUPT, codes: BAD },
    g: { error: CORRUPT, codes: ['E CAT_SHADOW_BAD', ...BAD], catalogUsed: 'primary' },
    p: {},
  },
  {
    row: 12,
    what: 'two-flips in the same leaf of both catalogs',
    inject: { fault: 'two-flips', at: 'both-catalogs' },
    k: { error: CORRUPT, codes: BAD },
    g: {
      error: CORRUPT,
      codes: ['E CAT_PRIMARY_BAD', 'E CAT_SHADOW_BAD', ...BAD],
      also: [
        'E CAT_ENTRY',
        'E IDX_EXTRA',
        'E REC_STRUCT',
        'E SPACE_AE_CONFLICT',
        'E SPACE_OE_CONFLICT',
        'W CAT_DIFFERENT',
        'W SPACE_LEAK',
        'W LV_ORPHAN',
        ...AFTER_LOSS,
      ],
    },
    p: { loses: 'catalog' },
  },
  {
    row: 13,
    what: 'a wrong root in the catalog alone',
    inject: { fault: 'catalog-root', at: 'catalog' },
    k: {},
    g: {
      error: CORRUPT,
      codes: ['E CAT_DIFFERENT'],
      also: ELSEWHERE,
    },
    p: {},
  },
  {
    row: 13,
    what: 'a wrong root in both catalogs',
    inject: { fault: 'catalog-root', at: 'both-catalogs' },
    k: {},
    g: {
      error: CORRUPT,
      codes: [],
      also: ELSEWHERE,
    },
    p: {},
  },
  {
    row: 14,
    what: 'one root for two objects',
    inject: { fault: 'catalog-duplicate-root' },
    k: {},
    g: {
      error: CORRUPT,
      codes: ['E CAT_DUP_FDP'],
      also: ['E CAT_ENTRY', 'E PAGE_WRONG_OBJID', 'W SPACE_LEAK', ...AFTER_LOSS],
    },
    p: {},
  },
  {
    row: 14,
    what: 'one objid for two objects',
    inject: { fault: 'catalog-duplicate-objid' },
    k: {},
    g: {
      error: CORRUPT,
      codes: ['E CAT_DUP_OBJID'],
      also: [
        'E CAT_ENTRY',
        'E NODE_DUP',
        'E PAGE_WRONG_OBJID',
        'E TREE_SEPARATOR',
        'W CAT_DIFFERENT',
        ...AFTER_LOSS,
      ],
    },
    p: {},
  },
  ...['two-flips', 'zero-page'].map(
    (fault): MatrixRow => ({
      row: 15,
      what: `${fault} in an index of the catalog`,
      inject: { fault, at: 'catalog-index' },
      k: fault === 'zero-page' ? { uninitialized: 1 } : { error: CORRUPT, codes: BAD },
      g: {
        error: CORRUPT,
        codes: [fault === 'zero-page' ? 'E PAGE_NOT_INITIALIZED' : 'E PAGE_BAD_CHECKSUM'],
        also: ['E CAT_PRIMARY_BAD'],
      },
      p: {},
    }),
  ),
  {
    row: 16,
    what: 'one flipped bit in a leaf',
    inject: { fault: 'bit-flip' },
    k: { codes: ['W PAGE_ECC_FIXED'] },
    g: { codes: ['W PAGE_ECC_FIXED'] },
    p: { identity: 'kept' },
  },
  {
    row: 17,
    what: 'two flipped bits in a leaf',
    inject: { fault: 'two-flips' },
    k: { error: CORRUPT, codes: BAD },
    g: { error: CORRUPT, codes: BAD, also: AFTER_LOSS },
    p: { loses: 'rows', most: 2 },
  },
  {
    row: 17,
    what: '64 random bytes in a leaf',
    inject: { fault: 'random-bytes' },
    k: { error: CORRUPT, codes: BAD },
    g: { error: CORRUPT, codes: BAD, also: AFTER_LOSS },
    p: { loses: 'rows' },
  },
  {
    row: 18,
    what: 'two flipped bits in each of two leaves',
    inject: { fault: 'two-flips', count: 2 },
    k: { error: CORRUPT, codes: BAD },
    g: { error: CORRUPT, codes: BAD, also: AFTER_LOSS },
    p: { loses: 'rows', most: 4 },
  },
  {
    row: 19,
    what: 'a blank leaf',
    inject: { fault: 'zero-page' },
    k: { uninitialized: 1 },
    g: { error: CORRUPT, codes: ['E PAGE_NOT_INITIALIZED'], also: AFTER_LOSS },
    p: { loses: 'rows' },
  },
  {
    row: 19,
    what: 'a torn leaf',
    inject: { fault: 'torn-page' },
    k: { error: CORRUPT, codes: BAD },
    g: { error: CORRUPT, codes: BAD, also: AFTER_LOSS },
    p: { loses: 'rows' },
  },
  {
    row: 20,
    what: 'a leaf as it was before its last row',
    inject: { fault: 'stale-page' },
    k: {},
    g: { error: CORRUPT, codes: ['E IDX_EXTRA'], also: ['W LV_ORPHAN', 'W LV_REF_HIGH', 'E TREE_SEPARATOR'] },
    p: { oracle: 'after the damage' },
  },
  {
    row: 21,
    what: 'another page in the place of a leaf',
    inject: { fault: 'foreign-page' },
    k: { error: CORRUPT, codes: ['E PAGE_WRONG_PGNO'] },
    g: { error: CORRUPT, codes: ['E PAGE_WRONG_PGNO'], also: AFTER_LOSS },
    p: { loses: 'rows' },
  },
  {
    row: 21,
    what: 'two leaves that have changed places',
    inject: { fault: 'swapped-pages' },
    k: { error: CORRUPT, codes: ['E PAGE_WRONG_PGNO'] },
    g: { error: CORRUPT, codes: ['E PAGE_WRONG_PGNO'], also: AFTER_LOSS },
    // Both images are whole, each on the other's place.
    p: {},
  },
  {
    row: 22,
    what: 'two rows in the wrong order',
    inject: { fault: 'swapped-tags' },
    k: {},
    g: { error: CORRUPT, codes: ['E NODE_ORDER'], also: ['E TREE_SEPARATOR'] },
    p: {},
  },
  {
    row: 23,
    what: 'a row twice',
    inject: { fault: 'duplicate-key' },
    k: {},
    g: { error: CORRUPT, codes: ['E NODE_DUP'], also: ['E IDX_DUP', 'E IDX_MISSING', 'E LV_REF_LOW'] },
    p: {},
  },
  {
    row: 24,
    what: 'offsets of a record',
    inject: { fault: 'record-offsets' },
    k: {},
    g: { error: CORRUPT, codes: ['E REC_STRUCT'], also: AFTER_LOSS },
    p: { loses: 'rows', most: 1 },
  },
  {
    row: 24,
    what: 'a tag that reaches out of its page',
    inject: { fault: 'damaged-tag' },
    k: {},
    g: { error: CORRUPT, codes: ['E PAGE_TAGS'], also: AFTER_LOSS },
    p: { loses: 'rows', most: 1 },
  },
  {
    row: 24,
    what: 'a key that is longer than its node',
    inject: { fault: 'damaged-node' },
    k: {},
    g: { error: CORRUPT, codes: ['E NODE_BOUNDS'], also: AFTER_LOSS },
    p: { loses: 'rows', most: 1 },
  },
  {
    row: 25,
    what: 'a wrong sibling link',
    inject: { fault: 'broken-link' },
    k: {},
    g: { error: CORRUPT, codes: ['E TREE_LINKS'] },
    p: {},
  },
  {
    row: 26,
    what: 'another objid on a leaf',
    inject: { fault: 'wrong-objid' },
    k: {},
    g: { error: CORRUPT, codes: ['E PAGE_WRONG_OBJID'], also: AFTER_LOSS },
    p: {},
  },
  ...['two-flips', 'zero-page'].map(
    (fault): MatrixRow => ({
      row: 27,
      what: `${fault} in an internal page`,
      inject: { fault, at: 'branch' },
      k: fault === 'zero-page' ? { uninitialized: 1 } : { error: CORRUPT, codes: BAD },
      g: {
        error: CORRUPT,
        codes: [fault === 'zero-page' ? 'E PAGE_NOT_INITIALIZED' : 'E PAGE_BAD_CHECKSUM'],
        also: ['E SPACE_HEADER', ...AFTER_LOSS],
      },
      p: {},
    }),
  ),
  {
    row: 28,
    what: 'a loop of child pointers',
    inject: { fault: 'child-loop' },
    k: {},
    g: { error: CORRUPT, codes: ['E PAGE_CYCLE'], also: ['E TREE_DEPTH', ...AFTER_LOSS] },
    p: {},
  },
  {
    row: 29,
    what: 'a wrong separator',
    inject: { fault: 'wrong-separator' },
    k: {},
    g: { error: CORRUPT, codes: ['E TREE_SEPARATOR'] },
    p: {},
  },
  {
    row: 30,
    what: 'two-flips in the root of a table',
    inject: { fault: 'two-flips', at: 'root' },
    k: { error: CORRUPT, codes: BAD },
    g: { error: CORRUPT, codes: BAD, also: ['E SPACE_HEADER', ...AFTER_LOSS] },
    p: { loses: 'rows', most: 2 },
  },
  ...(['owned-space', 'available-space'] as const).map(
    (at): MatrixRow => ({
      row: 31,
      what: `two-flips at ${at}`,
      inject: { fault: 'two-flips', at },
      k: { error: CORRUPT, codes: BAD },
      g: { error: CORRUPT, codes: BAD },
      p: {},
    }),
  ),
  {
    row: 31,
    what: 'a blank page of owned extents',
    inject: { fault: 'space-gone' },
    k: { uninitialized: 1 },
    g: { error: CORRUPT, codes: ['E PAGE_NOT_INITIALIZED'] },
    p: {},
  },
  {
    row: 32,
    what: 'a page that is in use and available',
    inject: { fault: 'page-available' },
    k: {},
    g: { error: CORRUPT, codes: ['E SPACE_AE_CONFLICT'] },
    p: {},
  },
  {
    row: 33,
    what: 'extents of two tables that overlap',
    inject: { fault: 'overlapping-extents' },
    k: {},
    g: { error: CORRUPT, codes: ['E SPACE_OE_CONFLICT'] },
    p: {},
  },
  ...['two-flips', 'zero-page'].map(
    (fault): MatrixRow => ({
      row: 34,
      what: `${fault} in a root of the database`,
      inject: { fault, at: 'database-root' },
      k: fault === 'zero-page' ? { uninitialized: 1 } : { error: CORRUPT, codes: BAD },
      g: {
        error: CORRUPT,
        codes: [fault === 'zero-page' ? 'E PAGE_NOT_INITIALIZED' : 'E PAGE_BAD_CHECKSUM'],
        also: ['E SPACE_HEADER'],
      },
      p: {},
    }),
  ),
  {
    row: 35,
    what: 'a page in use that is kept to split a space tree',
    inject: { fault: 'split-buffer' },
    k: {},
    g: { error: CORRUPT, codes: ['E SPACE_SPLITBUF'] },
    p: {},
  },
  {
    row: 36,
    what: 'a long value that is said to be too long',
    inject: { fault: 'lv-size' },
    k: {},
    // A chunk that is too short for its place can only be a compressed one, if it is any.
    g: { error: CORRUPT, codes: [], also: ['E LV_DECOMPRESS', 'E LV_LENGTH'] },
    p: { loses: 'values', most: 1 },
  },
  {
    row: 37,
    what: 'a long value without root',
    inject: { fault: 'lv-root-gone' },
    k: {},
    g: { error: CORRUPT, codes: ['E LV_NO_ROOT', 'E REC_LID_MISSING'] },
    p: {},
  },
  {
    row: 38,
    what: 'a count of references that is too low',
    inject: { fault: 'lv-count-low' },
    k: {},
    g: { error: CORRUPT, codes: ['E LV_REF_LOW'] },
    p: {},
  },
  {
    row: 38,
    what: 'a count of references that is too high',
    inject: { fault: 'lv-count-high' },
    k: {},
    g: { codes: ['W LV_REF_HIGH'] },
    p: {},
  },
  {
    row: 39,
    what: 'a missing chunk',
    inject: { fault: 'lv-chunk-gone' },
    k: {},
    g: { error: CORRUPT, codes: ['E LV_HOLE'] },
    p: { loses: 'values', most: 1 },
  },
  {
    row: 39,
    what: 'a blank leaf of long values',
    inject: { fault: 'zero-page', at: 'long-value' },
    k: { uninitialized: 1 },
    g: {
      error: CORRUPT,
      codes: ['E PAGE_NOT_INITIALIZED'],
      also: ['E LV_HOLE', 'E LV_NO_ROOT', 'E REC_LID_MISSING', 'E LV_LENGTH'],
    },
    p: { loses: 'values' },
  },
  {
    row: 40,
    what: 'two-flips in a leaf of long values',
    inject: { fault: 'two-flips', at: 'long-value' },
    k: { error: CORRUPT, codes: BAD },
    g: {
      error: CORRUPT,
      codes: BAD,
      also: ['E LV_HOLE', 'E LV_NO_ROOT', 'E REC_LID_MISSING', 'E LV_LENGTH'],
    },
    p: { loses: 'values' },
  },
  {
    row: 41,
    what: 'a long value that no row refers to',
    inject: { fault: 'lv-orphan' },
    k: {},
    g: { codes: ['W LV_ORPHAN'], also: ['W LV_REF_HIGH'] },
    p: { oracle: 'after the damage' },
  },
  ...['two-flips', 'zero-page'].map(
    (fault): MatrixRow => ({
      row: 42,
      what: `${fault} in a leaf of an index`,
      inject: { fault, at: 'index' },
      k: fault === 'zero-page' ? { uninitialized: 1 } : { error: CORRUPT, codes: BAD },
      g: {
        error: CORRUPT,
        codes: [fault === 'zero-page' ? 'E PAGE_NOT_INITIALIZED' : 'E PAGE_BAD_CHECKSUM'],
        also: ['E IDX_MISSING', 'E SPACE_HEADER'],
      },
      p: {},
    }),
  ),
  {
    row: 43,
    what: 'a missing entry of an index',
    inject: { fault: 'index-entry-missing' },
    k: {},
    g: { error: CORRUPT, codes: ['E IDX_MISSING'] },
    p: {},
  },
  {
    row: 43,
    what: 'an entry of an index too many',
    inject: { fault: 'index-entry-extra' },
    k: {},
    g: { error: CORRUPT, codes: ['E IDX_EXTRA'] },
    p: {},
  },
  {
    row: 44,
    what: 'two-flips in a leaf of an index over Unicode text',
    inject: { fault: 'two-flips', at: 'index', table: 'Words', index: 'byWord' },
    k: { error: CORRUPT, codes: BAD },
    g: { error: CORRUPT, codes: BAD, also: ['E IDX_MISSING', 'E SPACE_HEADER'] },
    p: {},
  },
  {
    row: 45,
    what: 'a file that ends within a page',
    inject: { fault: 'truncated-page' },
    k: { error: CORRUPT, codes: ['E SIZE_NOT_MULTIPLE'] },
    g: { error: CORRUPT, codes: ['E SIZE_NOT_MULTIPLE'] },
    p: {},
  },
  {
    row: 46,
    what: 'a file that lacks its last page',
    inject: { fault: 'truncated-file' },
    k: {},
    g: { error: CORRUPT, codes: ['E SIZE_SHORT'], also: ['E SPACE_EOF'] },
    p: {},
  },
  {
    row: 47,
    what: 'pages of junk behind the last one',
    inject: { fault: 'trailing-junk', count: 3 },
    k: { codes: ['I SIZE_LONG'] },
    g: { codes: ['W SIZE_LONG'] },
    // They are behind what the database owns: no damage.
    p: { action: 'none' },
  },
];
