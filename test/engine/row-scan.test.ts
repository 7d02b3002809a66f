import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type DatabaseReader, openDatabaseReader } from '../../src/engine/database-reader.js';
import { createLongValueReader } from '../../src/engine/long-value-reader.js';
import { createRowScan, type ScanOptions } from '../../src/engine/row-scan.js';
import { treePages } from '../../src/engine/tree-reader.js';
import { createByteWriter } from '../../src/format/byte-writer.js';
import { createNodeView, NODE_FLAG } from '../../src/format/page.js';
import { createRowWriter } from '../../src/format/row-writer.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { createSimulatedDisk } from '../../src/io/simulated-disk.js';
import { allCorpusDatabases, corpusPath, describeWithCorpus } from '../corpus.js';
import { runWorkload, WORKLOAD_DATABASE } from '../support/workload-lab.js';

/** Rows of a scan in canonical form. */
function linesOf(reader: DatabaseReader, table: string, options: ScanOptions = {}): string[] {
  const definition = reader.table(table);
  const scan = createRowScan(reader.source, definition, options);
  const writer = createRowWriter(
    scan.layout,
    'canonical',
    createLongValueReader(reader.source, definition).append,
  );
  const lines: string[] = [];
  const out = createByteWriter(1024);
  for (const values of scan.rows()) {
    out.length = 0;
    writer.appendRow(out, values);
    lines.push(Buffer.from(out.bytes.subarray(0, out.length - 1)).toString('latin1'));
  }
  return lines;
}

function entriesOf(reader: DatabaseReader, root: { pgnoFdp: number; objid: number }): number {
  const node = createNodeView();
  let entries = 0;
  for (const { page } of treePages(reader.source, root)) {
    for (let line = 0; page.isLeaf && line < page.nodeCount; line++) {
      page.readNode(line, node);
      if ((node.flags & NODE_FLAG.deleted) === 0) entries++;
    }
  }
  return entries;
}

const ROWS_BYTES_MOST = 2_000_000;

describeWithCorpus('a scan of a real database', () => {
  const small = allCorpusDatabases().filter(({ name }) => !/large|dirty|crash/.test(name));

  it.each(small)('$name: all rows, forwards, backwards and by every index', ({ path, rowsPath }) => {
    const reader = openDatabaseReader(nodeFileSystem, path);
    let scanned = 0;
    for (const { name, indexes } of reader.tables()) {
      const file = join(rowsPath, `${name}.jsonl`);
      if (!existsSync(file)) continue;
      const text = readFileSync(file, 'latin1');
      if (text.length > ROWS_BYTES_MOST) continue;
      const rows = text.split('\n').slice(0, -1);
      expect(linesOf(reader, name)).toEqual(rows);
      expect(linesOf(reader, name, { reverse: true })).toEqual([...rows].reverse());
      const known = new Set(rows);
      for (const index of indexes) {
        if (index.primary) continue;
        const found = linesOf(reader, name, { index: index.name });
        expect(found).toHaveLength(entriesOf(reader, index));
        expect(found.every((line) => known.has(line))).toBe(true);
        expect(linesOf(reader, name, { index: index.name, reverse: true })).toEqual([...found].reverse());
        scanned += found.length;
      }
    }
    reader.close();
    expect(scanned).toBeGreaterThan(0);
  });

  it('finds the tables of a catalog by type and name, as Windows ordered them', () => {
    const reader = openDatabaseReader(nodeFileSystem, corpusPath('databases', 'test.edb'));
    const [line] = linesOf(reader, 'MSysObjects', {
      index: 'RootObjects',
      from: [true, 'TestTable'],
      to: [true, 'TestTable'],
    });
    expect(JSON.parse(line ?? '{}')).toMatchObject({ Name: 'TestTable' });
    reader.close();
  });
});

describe('a range of a scan', () => {
  const database = (async () => {
    const disk = createSimulatedDisk();
    await runWorkload(disk, { seed: 11, rows: 300 });
    return openDatabaseReader(disk, WORKLOAD_DATABASE);
  })();
  const ids = (lines: readonly string[], column: string) =>
    lines.map((line) => (JSON.parse(line) as Record<string, unknown>)[column]);

  it('begins and ends with the rows that have its values', async () => {
    const reader = await database;
    const all = ids(linesOf(reader, 'Events'), 'Number') as number[];
    const [from, to] = [all[5] ?? 0, all[20] ?? 0];
    expect(ids(linesOf(reader, 'Events', { from: [from], to: [to] }), 'Number')).toEqual(all.slice(5, 21));
    expect(ids(linesOf(reader, 'Events', { from: [from], to: [to], reverse: true }), 'Number')).toEqual(
      all.slice(5, 21).reverse(),
    );
    expect(ids(linesOf(reader, 'Events', { from: [to] }), 'Number')).toEqual(all.slice(20));
    expect(ids(linesOf(reader, 'Events', { to: [from], reverse: true }), 'Number')).toEqual(
      all.slice(0, 6).reverse(),
    );
  });

  it('takes all rows that begin with the values given', async () => {
    const reader = await database;
    const customers = ids(linesOf(reader, 'Orders'), 'CustomerId') as number[];
    const one = customers[10] ?? 0;
    const found = ids(linesOf(reader, 'Orders', { from: [one], to: [one] }), 'CustomerId');
    expect(found).toEqual(customers.filter((id) => id === one));
  });

  it('goes down where the index does', async () => {
    const reader = await database;
    const dates = ids(linesOf(reader, 'Orders', { index: 'ByPlaced' }), 'Placed') as string[];
    expect([...dates].sort().reverse()).toEqual(dates);
    expect(dates.length).toBeGreaterThan(20);
  });

  it('is refused where it makes no sense', async () => {
    const reader = await database;
    expect(() => linesOf(reader, 'Orders', { index: 'nothing' })).toThrow(
      expect.objectContaining({ name: 'JET_errIndexNotFound' }),
    );
    expect(() => linesOf(reader, 'Orders', { from: [1, 2, 3] })).toThrow(
      expect.objectContaining({ name: 'JET_errKeyNotMade' }),
    );
    expect(() => linesOf(reader, 'Orders', { from: ['x'] })).toThrow(
      expect.objectContaining({ name: 'JET_errInvalidParameter' }),
    );
  });
});
