import { beforeAll, describe, expect, it } from 'vitest';
import { createNodeView } from '../../../src/format/page.js';
import { openDatabase } from '../../../src/index.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { checkIntegrity } from '../../../src/maintenance/integrity.js';
import { repair } from '../../../src/maintenance/repair.js';
import { DAMAGED, type DamagedDatabase, damagedBytes } from '../../support/damaged-database.js';
import { readFile } from '../../support/files.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

let bytes: Uint8Array;
beforeAll(() => {
  // Rows 1, 3, 5 … are left.
  bytes = readFile(sampleDatabase({ rows: 80, keepEvery: 2 }), SAMPLE);
}, 60_000);

function rowsOf(fs: FileSystem): Record<string, unknown>[] {
  const database = openDatabase(DAMAGED, { fs });
  try {
    return [...database.rows('People')];
  } finally {
    database.close();
  }
}

/** Gives the row at a position another id, without a change of its place. */
function renumber(db: DamagedDatabase, position: number, id: number): void {
  const people = db.table('People');
  const place = db.nodesOf(people)[position];
  const offset = people.columns.find(({ name }) => name === 'id')?.fixedOffset;
  if (place === undefined || offset === undefined) throw new Error('there is no such row');
  const node = createNodeView();
  db.edit(place.pgno, (page) => {
    page.readNode(place.line, node);
    page.view.setUint32(node.dataOffset + offset, id, true);
  });
}

async function repaired(db: DamagedDatabase) {
  const fs = db.disk();
  const result = await repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, { inPlace: true, workers: 1 });
  const { error } = await checkIntegrity({ fs }, DAMAGED);
  expect(error).toBeUndefined();
  const table = result.report.tables.find(({ name }) => name === 'People');
  return { fs, lost: result.lost, findings: result.report.findings, records: table?.records };
}

describe('a record whose node has the key of another', () => {
  it.each([
    ['before it', 30, 4],
    ['behind it', 10, 60],
    ['at the end', 0, 9999],
  ])('is filed where it belongs: %s', async (_where, position, id) => {
    const db = damagedBytes(bytes);
    const before = rowsOf(db.disk());
    renumber(db, position, id);
    const { fs, lost, findings, records } = await repaired(db);
    const expected = before.map((row, i) => (i === position ? { ...row, id } : row));
    expect(rowsOf(fs)).toEqual(expected.sort((a, b) => Number(a.id) - Number(b.id)));
    expect(lost).toBe(false);
    expect(records).toMatchObject({ kept: before.length, dropped: 0, lost: { known: 0, estimated: 0 } });
    expect(findings).toContainEqual(
      expect.objectContaining({ code: 'REC_KEY', action: 'filed under the key of the record' }),
    );
  });

  it('gives way to the record that has that key, and is listed', async () => {
    const db = damagedBytes(bytes);
    const before = rowsOf(db.disk());
    renumber(db, 5, Number(before[20]?.id));
    const { fs, lost, records } = await repaired(db);
    expect(rowsOf(fs)).toEqual(before.filter((_, i) => i !== 5));
    expect(lost).toBe(true);
    expect(records).toMatchObject({ kept: before.length - 1, lost: { known: 1, estimated: 0 } });
  });
});
