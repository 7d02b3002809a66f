import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { createTable, deleteTable } from '../../src/engine/schema.js';
import { readTreeSpace } from '../../src/engine/space-reader.js';
import { OBJID_DATABASE, PGNO_DATABASE } from '../../src/format/catalog-row.js';
import { seededEnvironment } from '../../src/io/environment.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { randomBelow, seededRandom } from '../../src/io/seeded-random.js';
import { recover } from '../../src/recovery/recover.js';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';
import { contentOf, judgeDatabase, openPages } from '../support/judge-database.js';

const OUT = '/out';

/** Space of the whole database. */
function rootSpace(fs: FileSystem) {
  const reader = openDatabaseReader(fs, LAB_DATABASE);
  try {
    return readTreeSpace(reader.source, { objid: OBJID_DATABASE, pgnoFdp: PGNO_DATABASE });
  } finally {
    reader.close();
  }
}

const pagesOf = (extents: readonly { readonly count: number }[]): number =>
  extents.reduce((total, { count }) => total + count, 0);

describe('space', () => {
  it('of hundreds of tables that come, grow and go has its trees split, and all of it comes back', async () => {
    const { disk, instance, database } = createEngineLab({ attach: { extensionPages: 4 } });
    const random = seededRandom(5);
    const session = instance.createSession();
    const tables = new Set<string>();
    let number = 0;
    const create = (): void => {
      const name = `T${number++}`;
      const table = createTable(database, session, {
        name,
        columns: [
          { name: 'id', type: 'long' },
          { name: 'data', type: 'longBinary' },
        ],
        indexes: [{ name: 'primary', segments: ['id'], primary: true }],
      });
      const cursor = new Cursor(session, table);
      const rows = [0, 1, 20, 60][randomBelow(random, 4)] ?? 0;
      session.transaction(() => {
        for (let id = 0; id < rows; id++) {
          cursor.insert({ id, data: new Uint8Array(randomBelow(random, 1500)) }, { lazy: true });
        }
      });
      tables.add(name);
    };
    const remove = (name: string): void => {
      deleteTable(database, session, database.table(session, name));
      tables.delete(name);
    };
    for (let i = 0; i < 300; i++) {
      create();
      if (i % 6 === 0) remove([...tables][randomBelow(random, tables.size)] ?? '');
      if (i % 50 === 0) instance.cleanUp();
    }
    instance.detachDatabase(database);
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
    // Both root pages, and the leaves of a tree that was split.
    expect(rootSpace(disk).spaceTreePages.length).toBeGreaterThan(2);

    const again = instance.attachDatabase(LAB_DATABASE);
    for (const name of tables) deleteTable(again, session, again.table(session, name));
    instance.close();
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
    const { owned, available } = rootSpace(disk);
    expect(owned.length).toBeGreaterThan(300);
    expect(pagesOf(owned) - pagesOf(available)).toBeLessThan(100);

    disk.mkdir(OUT);
    disk.unlink(`${LAB}/E00.chk`);
    await recover(seededEnvironment({ fs: disk, seed: 2 }), {
      baseName: 'E00',
      logPath: LAB,
      systemPath: LAB,
      databasePath: OUT,
    });
    const [original, replayed] = [LAB_DATABASE, `${OUT}/lab.edb`].map((path) => openPages(disk, path));
    for (let pgno = 1; pgno <= (original?.lastPgno ?? 0); pgno++) {
      const [ours, theirs] = [original, replayed].map((source) => source && contentOf(source, pgno));
      expect([pgno, theirs]).toEqual([pgno, ours]);
    }
  }, 300_000);
});
