import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { createTable } from '../../src/engine/schema.js';
import { treePages } from '../../src/engine/tree-reader.js';
import { openDatabase } from '../../src/index.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { randomBelow, randomFill, seededRandom } from '../../src/io/seeded-random.js';
import { createEngineLab, LAB_DATABASE } from '../support/engine-lab.js';
import { judgeDatabase } from '../support/judge-database.js';

/** Sizes of chunks by page size (format specification, chapter 3.3.2). */
const CHUNKS = [
  [4096, 4014],
  [8192, 8110],
  [16384, 4050],
  [32768, 8150],
] as const;

function openLab(pageSize: number) {
  const lab = createEngineLab({ pageSize });
  const session = lab.instance.createSession();
  const table = createTable(lab.database, session, {
    name: 'Documents',
    columns: [
      { name: 'id', type: 'long' },
      { name: 'data', type: 'longBinary' },
      { name: 'text', type: 'longText', unicode: true, compressed: true },
      { name: 'parts', type: 'longBinary', multiValued: true },
    ],
    indexes: [{ name: 'primary', segments: ['id'], primary: true }],
  });
  return { ...lab, session, table, cursor: new Cursor(session, table) };
}

/** Nodes of the long-value tree, roots and chunks. */
function longValueNodes(fs: FileSystem): number {
  const reader = openDatabaseReader(fs, LAB_DATABASE);
  try {
    const tree = reader.tables().find(({ name }) => name === 'Documents')?.longValueTree;
    let nodes = 0;
    if (tree === undefined) return 0;
    for (const { page } of treePages(reader.source, tree)) if (page.isLeaf) nodes += page.nodeCount;
    return nodes;
  } finally {
    reader.close();
  }
}

/** Bytes as text: a comparison of numbers one by one takes its time. */
const text = (bytes: unknown): string => Buffer.from((bytes ?? []) as Uint8Array).toString('latin1');

function bytesOf(length: number, seed = length): Uint8Array {
  const bytes = new Uint8Array(length);
  randomFill(seededRandom(seed), bytes);
  return bytes;
}

describe.each(CHUNKS)('long values in pages of %i bytes', (pageSize, chunk) => {
  it('of any size are read whole and in part, and by other readers', () => {
    const { disk, instance, cursor } = openLab(pageSize);
    const sizes = [
      0,
      1,
      1023,
      1024,
      chunk - 1,
      chunk,
      chunk + 1,
      2 * chunk,
      2 * chunk + 1,
      10 * chunk + 7,
      300_000,
    ];
    for (const [id, size] of sizes.entries()) cursor.insert({ id, data: bytesOf(size) });
    for (const [id, size] of sizes.entries()) {
      cursor.seek('=', id);
      expect(text(cursor.get('data'))).toBe(text(bytesOf(size)));
      for (const [offset, length] of [
        [0, 10],
        [chunk - 5, 10],
        [size - 3, 10],
        [size + 1, 5],
        [5, 2 * chunk],
      ] as const) {
        if (offset < 0) continue;
        const part = bytesOf(size).slice(offset, offset + length);
        expect(text(cursor.readLongValue('data', offset, length))).toBe(text(part));
      }
    }
    instance.close();
    judgeDatabase(disk, LAB_DATABASE);
    const database = openDatabase(LAB_DATABASE, { fs: disk });
    for (const row of database.rows('Documents')) {
      expect(text(row.data)).toBe(text(bytesOf(sizes[row.id as number] ?? -1)));
    }
    database.close();
  });

  it('grow at their ends, whatever they begin with', () => {
    const { instance, disk, cursor } = openLab(pageSize);
    const random = seededRandom(pageSize);
    let whole = new Uint8Array(0);
    cursor.insert({ id: 1 });
    cursor.seek('=', 1);
    for (let i = 0; i < 40; i++) {
      const more = bytesOf(
        randomBelow(random, 3) === 0 ? randomBelow(random, 2 * chunk) : randomBelow(random, 300),
        i,
      );
      cursor.appendLongValue('data', more);
      whole = Uint8Array.from(Buffer.concat([whole, more]));
      expect(text(cursor.get('data'))).toBe(text(whole));
    }
    instance.close();
    judgeDatabase(disk, LAB_DATABASE);
  });

  it('go when no row has them any more, and stay when that is rolled back', () => {
    const { instance, database, disk, session, cursor } = openLab(pageSize);
    const data = bytesOf(3 * chunk);
    const long = 'Long text that can be packed. '.repeat(400);
    cursor.insert({ id: 1, data, text: long, parts: [bytesOf(5000), bytesOf(10), bytesOf(6000)] });
    cursor.insert({ id: 2, data });
    session.begin();
    cursor.seek('=', 1);
    cursor.update({ data: null, text: 'short', parts: [bytesOf(7000)] });
    cursor.seek('=', 2);
    cursor.delete();
    session.rollback();
    database.cleanUp();
    cursor.seek('=', 1);
    expect(cursor.row()).toEqual({
      id: 1,
      data,
      text: long,
      parts: [bytesOf(5000), bytesOf(10), bytesOf(6000)],
    });
    cursor.update({ data: null, text: null, parts: null });
    cursor.seek('=', 2);
    expect(cursor.get('data')).toEqual(data);
    cursor.delete();
    instance.close();
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
    expect(longValueNodes(disk)).toBeLessThanOrEqual(1);
  });

  it('are seen as they were by those who began before', () => {
    const { instance, table, session, cursor } = openLab(pageSize);
    cursor.insert({ id: 1, data: bytesOf(20_000) });
    const other = instance.createSession();
    const reader = new Cursor(other, table);
    other.begin();
    reader.seek('=', 1);
    session.begin();
    cursor.seek('=', 1);
    cursor.appendLongValue('data', bytesOf(5000));
    session.commit();
    cursor.seek('=', 1);
    cursor.update({ data: bytesOf(9) });
    expect(text(reader.get('data'))).toBe(text(bytesOf(20_000)));
    other.commit();
    reader.seek('=', 1);
    expect(reader.get('data')).toEqual(bytesOf(9));
  });
});
