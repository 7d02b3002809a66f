import { beforeAll, describe, expect, it } from 'vitest';
import { createNodeView, PAGE_FLAG, type Page, pageOffset } from '../../../src/format/page.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { repair } from '../../../src/maintenance/repair.js';
import { DAMAGED, type DamagedDatabase, damagedBytes } from '../../support/damaged-database.js';
import { readFile } from '../../support/files.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

const ROWS = 300;
const KEEP_EVERY = 10;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Records of the table `People` by key, in hexadecimal. */
function recordsOf(db: DamagedDatabase): Map<string, string> {
  const node = createNodeView();
  return new Map(
    db.nodesOf(db.table('People')).map(({ pgno, line }) => {
      const page = db.page(pgno);
      page.readNode(line, node);
      return [hex(page.key(node)), hex(page.data(node))] as const;
    }),
  );
}

const run = (fs: FileSystem, undeletedFile?: string) =>
  repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, { inPlace: true, workers: 1, undeletedFile });

describe('records on free pages', () => {
  let full: DamagedDatabase;
  let bytes: Uint8Array;
  beforeAll(() => {
    full = damagedBytes(readFile(sampleDatabase({ rows: ROWS }), SAMPLE));
    bytes = readFile(sampleDatabase({ rows: ROWS, keepEvery: KEEP_EVERY }), SAMPLE);
  }, 60_000);

  /**
   * The sample without most of its rows, in which two free pages still hold what a leaf held before the rows were
   * deleted, and in which the leaf of an index or of the table is blank.
   */
  function broken(what: 'index' | 'table'): { db: DamagedDatabase; free: number[]; image: Page } {
    const db = damagedBytes(bytes);
    const people = db.table('People');
    const free: number[] = [];
    for (let pgno = 1; pgno <= db.lastPgno && free.length < 2; pgno++) {
      const page = db.page(pgno);
      if (page.objid === people.objid && (page.flags & PAGE_FLAG.empty) !== 0) free.push(pgno);
    }
    const image = full.page(full.pagesOf(full.table('People')).leaves[1] ?? 0);
    for (const pgno of free) {
      db.edit(pgno, (page) => {
        page.bytes.set(image.bytes);
        page.objid = people.objid;
      });
    }
    const tree = what === 'table' ? people : people.indexes.find(({ name }) => name === 'byName');
    const [leaf = 0] = db.pagesOf(tree ?? people).leaves;
    db.bytes.fill(0, pageOffset(leaf, db.pageSize), pageOffset(leaf + 1, db.pageSize));
    return { db, free, image };
  }

  it.each(['index', 'table'] as const)('are listed, and stay away from the database: %s', async (what) => {
    const { db, free, image } = broken(what);
    expect(free).toHaveLength(2);
    const before = recordsOf(damagedBytes(bytes));
    const fs = db.disk();
    const { report } = await run(fs, '/undeleted');
    const kept = recordsOf(damagedBytes(readFile(fs, DAMAGED)));
    for (const [key, data] of kept) expect(before.get(key)).toBe(data);
    if (what === 'index') expect(kept.size).toBe(before.size);
    const node = createNodeView();
    const deleted = Array.from({ length: image.nodeCount }, (_, line) => {
      image.readNode(line, node);
      return { line, key: hex(image.key(node)), data: hex(image.data(node)) };
    }).filter(({ key }) => !kept.has(key));
    expect(deleted.length).toBeGreaterThan(3);
    const lines = Buffer.from(readFile(fs, '/undeleted')).toString('utf8').trimEnd().split('\n');
    const { objid } = db.table('People');
    expect(lines.map((line) => JSON.parse(line))).toEqual(
      deleted.map((record) => ({ table: 'People', objid, pgno: free[0], ...record })),
    );
    expect(report.tables.find(({ name }) => name === 'People')?.undeleted).toBe(deleted.length);
  });

  it('are not looked for where nobody asks', async () => {
    const fs = broken('index').db.disk();
    const { report } = await run(fs);
    expect(report.tables.every(({ undeleted }) => undeleted === undefined)).toBe(true);
    expect(fs.readdir('/')).toEqual(['damaged.edb']);
  });
});
