import { expect, it } from 'vitest';
import { createNodeView, NODE_FLAG } from '../../../src/format/page.js';
import { openDatabase } from '../../../src/index.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { checkIntegrity } from '../../../src/maintenance/integrity.js';
import { repair } from '../../../src/maintenance/repair.js';
import { corpusPath, describeWithCorpus } from '../../corpus.js';
import { DAMAGED, type DamagedDatabase, damagedBytes, damagedCopy } from '../../support/damaged-database.js';
import { readFile } from '../../support/files.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Keys and data of the live nodes of a tree, in hexadecimal. */
function nodesOf(db: DamagedDatabase, tree: { pgnoFdp: number; objid: number }) {
  const node = createNodeView();
  return db.nodesOf(tree).map(({ pgno, line }) => {
    const page = db.page(pgno);
    page.readNode(line, node);
    return { pgno, line, key: hex(page.key(node)), data: hex(page.data(node)) };
  });
}

const indexOf = (db: DamagedDatabase, table: string, name: string) => {
  const index = db.table(table).indexes.find((one) => one.name === name);
  if (index === undefined) throw new Error(`there is no index ${name}`);
  return index;
};

/** The texts that the rows of a table have in the columns of an index, by primary key. */
function textsByRow(db: DamagedDatabase, table: string, columns: readonly string[]): Map<string, string> {
  const database = openDatabase(DAMAGED, { fs: db.disk() });
  try {
    const texts = [...database.rows(table)].map((row) => JSON.stringify(columns.map((name) => row[name])));
    return new Map(nodesOf(db, db.table(table)).map(({ key }, i) => [key, texts[i] ?? '']));
  } finally {
    database.close();
  }
}

const run = (fs: FileSystem) =>
  repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, { inPlace: true, workers: 1 });

describeWithCorpus('an entry of a Unicode index of Windows that is gone', () => {
  const CLEAN = corpusPath('databases', 'ual-clean.mdb');

  it.each([
    ['DNS', 'Address_index', ['Address']],
    ['CLIENTS', 'Username_RoleGuid_TenantId_index', ['AuthenticatedUserName']],
  ])(
    'comes back where another record has the same texts, and is not invented where none has: %s/%s',
    async (table, name, columns) => {
      const intact = damagedCopy(CLEAN);
      const texts = textsByRow(intact, table, columns);
      const entries = nodesOf(intact, indexOf(intact, table, name));
      const expected = entries.map(({ key, data }) => `${key} ${data}`).sort();
      let restored = 0;
      for (const { pgno, line, key, data } of entries) {
        const own = texts.get(data);
        const isShared = [...texts.values()].filter((text) => text === own).length > 1;
        const db = damagedCopy(CLEAN);
        db.edit(pgno, (page) => page.setNodeFlags(line, NODE_FLAG.deleted));
        const fs = db.disk();
        const { report, lost } = await run(fs);
        const after = damagedBytes(readFile(fs, DAMAGED));
        const left = nodesOf(after, indexOf(after, table, name)).map((entry) => `${entry.key} ${entry.data}`);
        const whole = isShared ? expected : expected.filter((entry) => entry !== `${key} ${data}`);
        expect(left.sort()).toEqual(whole);
        expect(lost).toBe(!isShared);
        const [index] = report.tables
          .filter((one) => one.name === table)
          .flatMap(({ indexes }) => indexes.filter((one) => one.name === name));
        expect(index?.action).toBe(isShared ? 'kept' : 'marked');
        const { error } = await checkIntegrity({ fs }, DAMAGED);
        expect(error).toBeUndefined();
        restored += isShared ? 1 : 0;
      }
      expect(restored).toBeGreaterThan(0);
    },
    120_000,
  );

  it('stays away where the other records contradict each other', async () => {
    const db = damagedCopy(CLEAN);
    const index = indexOf(db, 'DNS', 'Address_index');
    const entries = nodesOf(db, index);
    const group = entries.filter(({ key }) => entries.filter((entry) => entry.key === key).length > 2);
    const [first, second] = group.filter(({ key }) => key === group[0]?.key);
    if (first === undefined || second === undefined) throw new Error('no three rows have the same address');
    const node = createNodeView();
    db.edit(first.pgno, (page) => {
      page.setNodeFlags(first.line, NODE_FLAG.deleted);
      page.readNode(second.line, node);
      // The last byte of the sort key in front of its end.
      const at = node.suffixOffset + node.suffixLength - 2;
      page.bytes[at] = (page.bytes[at] ?? 0) + 1;
    });
    expect(second.pgno).toBe(first.pgno);
    const fs = db.disk();
    const { report } = await run(fs);
    expect(report.tables.find(({ name }) => name === 'DNS')?.indexes.map(({ action }) => action)).toContain(
      'marked',
    );
    const after = damagedBytes(readFile(fs, DAMAGED));
    expect(nodesOf(after, indexOf(after, 'DNS', 'Address_index'))).toHaveLength(entries.length - 1);
  });
});
