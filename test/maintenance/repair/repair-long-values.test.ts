import { describe, expect, it } from 'vitest';
import { LONG_VALUE_ROOT, readLongValueKey } from '../../../src/format/long-value.js';
import { createNodeView } from '../../../src/format/page.js';
import { openDatabase } from '../../../src/index.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { checkIntegrity } from '../../../src/maintenance/integrity.js';
import type { RepairedTable, RepairOptions } from '../../../src/maintenance/repair/repair-report.js';
import { repair } from '../../../src/maintenance/repair.js';
import { BUILT, builtDatabase } from '../../support/built-database.js';
import { DAMAGED, type DamagedDatabase, damagedBytes } from '../../support/damaged-database.js';
import { readFile } from '../../support/files.js';
import { rowDigests } from '../../support/judge-database.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

let bytes: Uint8Array | undefined;

function sample(): DamagedDatabase {
  bytes ??= readFile(sampleDatabase({ rows: 30 }), SAMPLE);
  return damagedBytes(bytes);
}

/** Rows of the table whose long values are damaged: 25, every third with a note of 3000 + i characters. */
function notes(fs: FileSystem): (string | null)[] {
  const database = openDatabase(DAMAGED, { fs });
  try {
    return [...database.rows('NoKey')].map((row) => (row.note as string | undefined) ?? null);
  } finally {
    database.close();
  }
}

const ALL = Array.from({ length: 25 }, (_, i) => (i % 3 === 0 ? 'x'.repeat(3000 + i) : null));

interface LongValueNode {
  readonly pgno: number;
  readonly line: number;
  readonly lid: number;
  readonly offset: number;
}

/** All nodes of the long values of the table, in order. */
function longValueNodes(db: DamagedDatabase): LongValueNode[] {
  const { longValueTree } = db.table('NoKey');
  if (longValueTree === undefined) throw new Error('the table has no long values');
  const node = createNodeView();
  const lid = { high: 0, low: 0 };
  return db.nodesOf(longValueTree).map(({ pgno, line }) => {
    const page = db.page(pgno);
    page.readNode(line, node);
    const key = page.key(node);
    const offset = readLongValueKey(key, key.length, lid);
    return { pgno, line, lid: lid.low, offset };
  });
}

/** The n-th node that fits, in tree order. */
function find(db: DamagedDatabase, fits: (node: LongValueNode) => boolean, n = 0): LongValueNode {
  const found = longValueNodes(db).filter(fits)[n];
  if (found === undefined) throw new Error('there is no such node');
  return found;
}

const isRoot = ({ offset }: LongValueNode): boolean => offset === LONG_VALUE_ROOT;

function remove(db: DamagedDatabase, { pgno, line }: LongValueNode): void {
  db.edit(pgno, (page) => page.deleteNode(line));
}

async function repaired(
  db: DamagedDatabase,
  options: RepairOptions = {},
): Promise<{ fs: FileSystem; table: RepairedTable; lost: boolean; actions: string[] }> {
  const fs = db.disk();
  const { report, lost } = await repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, {
    inPlace: true,
    workers: 1,
    ...options,
  });
  const { error } = await checkIntegrity({ fs }, DAMAGED);
  expect(error).toBeUndefined();
  const table = report.tables.find(({ name }) => name === 'NoKey');
  if (table === undefined) throw new Error('the table is gone');
  const actions = report.findings.flatMap(({ code, action }) =>
    action === undefined ? [] : [`${code}: ${action}`],
  );
  return { fs, table, lost, actions };
}

describe('repair of long values', () => {
  it('makes a root for chunks that have none: nothing is lost', async () => {
    const db = sample();
    remove(db, find(db, isRoot, 2));
    const { fs, table, lost, actions } = await repaired(db);
    expect(notes(fs)).toEqual(ALL);
    expect(lost).toBe(false);
    expect(table.longValues).toMatchObject({ kept: 9, nulled: 0, refCountFixed: 1, orphaned: 0 });
    expect(actions).toContain('LV_NO_ROOT: root made');
  });

  const isChunk = (offset: number) => (node: LongValueNode) => node.offset === offset;
  /** The third value of the table: row 6. */
  const row = 6;
  const removeMiddle = (db: DamagedDatabase): number => {
    const chunks = longValueNodes(db).filter(
      ({ lid, offset }) => lid === find(db, isRoot, 2).lid && offset > 0,
    );
    const [second] = chunks;
    if (second === undefined) throw new Error('the value has one chunk only');
    remove(db, second);
    return second.offset;
  };

  it('makes roots for values whose last chunks begin like packed ones', async () => {
    // Values of the bytes 27 to 60, each with a full chunk in front of a short one: among them are the first bytes of
    // all schemes of compression behind the 7-bit ones, of blanks, brackets and digits.
    const bytes = readFile(builtDatabase(4096, new Map([['built', { rows: 60, values: 60 }]])), BUILT);
    const db = damagedBytes(bytes);
    const tree = db.table('built').longValueTree ?? { pgnoFdp: 0, objid: 0 };
    const node = createNodeView();
    const places = db.nodesOf(tree).filter(({ pgno, line }) => {
      const page = db.page(pgno);
      page.readNode(line, node);
      return page.key(node).length === 4 && (page.key(node).at(3) ?? 0) >= 27;
    });
    for (const { pgno, line } of places.reverse()) db.edit(pgno, (page) => page.deleteNode(line));
    expect(places).toHaveLength(34);
    const expected = await rowDigests(damagedBytes(bytes).disk(), DAMAGED);
    const fs = db.disk();
    const { report } = await repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, {
      inPlace: true,
      workers: 1,
    });
    expect(report.tables.find(({ name }) => name === 'built')?.longValues).toMatchObject({
      kept: 60,
      nulled: 0,
    });
    expect((await rowDigests(fs, DAMAGED)).find(({ table }) => table === 'built')).toEqual(
      expected.find(({ table }) => table === 'built'),
    );
  });

  it('takes away the value that lacks a chunk, and keeps the row', async () => {
    const db = sample();
    removeMiddle(db);
    const { fs, table, lost, actions } = await repaired(db);
    expect(notes(fs)).toEqual(ALL.map((note, i) => (i === row ? null : note)));
    expect(lost).toBe(true);
    expect(table.records).toMatchObject({ kept: 25, dropped: 0 });
    expect(table.longValues).toMatchObject({ kept: 8, nulled: 1 });
    expect(actions).toContain('REC_LID_MISSING: the values were removed, the record was kept');
  });

  it('--lv=zero fills the hole with zeros', async () => {
    const db = sample();
    const offset = removeMiddle(db);
    const { fs, lost } = await repaired(db, { longValues: 'zero' });
    const note = notes(fs)[row] ?? '';
    expect(note.length).toBe(3000 + row);
    expect(note.slice(0, offset / 2)).toBe('x'.repeat(offset / 2));
    expect(note.charCodeAt(offset / 2)).toBe(0);
    expect(lost).toBe(true);
  });

  it('--lv=zero does not fill more than the file could have held', async () => {
    const db = sample();
    removeMiddle(db);
    const { pgno, line } = find(db, isRoot, 2);
    db.edit(pgno, (page) => {
      const node = createNodeView();
      page.readNode(line, node);
      new DataView(page.bytes.buffer, page.bytes.byteOffset).setUint32(
        node.dataOffset + 4,
        0x7000_0000,
        true,
      );
    });
    const { fs, table, lost } = await repaired(db, { longValues: 'zero' });
    expect(notes(fs)).toEqual(ALL.map((note, i) => (i === row ? null : note)));
    expect(table.longValues).toMatchObject({ kept: 8, nulled: 1 });
    expect(lost).toBe(true);
  });

  it('--lv=truncate ends the value in front of the hole', async () => {
    const db = sample();
    const offset = removeMiddle(db);
    const { fs } = await repaired(db, { longValues: 'truncate' });
    expect(notes(fs)[row]).toBe('x'.repeat(offset / 2));
  });

  it('--lv=drop-record leaves the row out, as the original does', async () => {
    const db = sample();
    removeMiddle(db);
    const { fs, table } = await repaired(db, { longValues: 'drop-record' });
    expect(notes(fs)).toEqual(ALL.filter((_, i) => i !== row));
    expect(table.records).toMatchObject({ kept: 24, dropped: 1 });
  });

  it('a first chunk that is missing leaves nothing to truncate', async () => {
    const db = sample();
    remove(db, find(db, isChunk(0), 2));
    const { fs } = await repaired(db, { longValues: 'truncate' });
    expect(notes(fs)[row]).toBeNull();
  });

  it.each([1, 2, 700])('a size that is %i bytes too large is put right', async (more) => {
    const db = sample();
    const root = find(db, isRoot, 2);
    db.edit(root.pgno, (page) => {
      const node = createNodeView();
      page.readNode(root.line, node);
      const view = new DataView(page.bytes.buffer, page.bytes.byteOffset);
      view.setUint32(node.dataOffset + 4, view.getUint32(node.dataOffset + 4, true) + more, true);
    });
    const { fs, lost } = await repaired(db);
    expect(notes(fs)).toEqual(ALL);
    expect(lost).toBe(false);
  });

  it.each([0, 2, 77])('%i references to a value that has one become one', async (references) => {
    const db = sample();
    const root = find(db, isRoot, 2);
    db.edit(root.pgno, (page) => {
      const node = createNodeView();
      page.readNode(root.line, node);
      new DataView(page.bytes.buffer, page.bytes.byteOffset).setUint32(node.dataOffset, references, true);
    });
    const { fs, lost, table } = await repaired(db);
    expect(notes(fs)).toEqual(ALL);
    expect(lost).toBe(false);
    expect(table.longValues.refCountFixed).toBe(1);
    const { report } = await checkIntegrity({ fs }, DAMAGED);
    expect(report.warnings).toBe(0);
  });

  const orphan = (db: DamagedDatabase): void => {
    const [first, ...rest] = db.nodesOf(db.table('NoKey'));
    if (first === undefined || rest.length === 0) throw new Error('the table is empty');
    db.edit(first.pgno, (page) => page.deleteNode(first.line));
  };

  it('a value that no record refers to goes', async () => {
    const db = sample();
    orphan(db);
    const { fs, table } = await repaired(db);
    expect(notes(fs)).toEqual(ALL.slice(1));
    expect(table.longValues).toMatchObject({ kept: 8, orphaned: 1 });
    const { report } = await checkIntegrity({ fs }, DAMAGED);
    expect(report.findings.filter(({ severity }) => severity !== 'info')).toEqual([]);
  });

  it('--keep-orphans keeps it', async () => {
    const db = sample();
    orphan(db);
    const { fs, table } = await repaired(db, { keepOrphans: true });
    expect(notes(fs)).toEqual(ALL.slice(1));
    expect(table.longValues).toMatchObject({ kept: 9 });
    const { report } = await checkIntegrity({ fs }, DAMAGED);
    expect(report.findings.map(({ code }) => code)).toContain('LV_ORPHAN');
  });
});
