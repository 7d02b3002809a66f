import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { createTable } from '../../src/engine/schema.js';
import { walkTree } from '../../src/engine/tree-reader.js';
import { MERGE_TYPE } from '../../src/format/log-record-layout.js';
import { seededEnvironment } from '../../src/io/environment.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { recover } from '../../src/recovery/recover.js';
import { createEngineLab, LAB, LAB_DATABASE, recordsOf } from '../support/engine-lab.js';
import { judgeDatabase } from '../support/judge-database.js';

/** Rows of some 300 bytes: twelve fit on a page of 4 KiB. */
const FILLER = new Uint8Array(160).fill(5);

function queueLab() {
  const lab = createEngineLab({ pageSize: 4096 });
  const { instance, database } = lab;
  const session = instance.createSession();
  const table = createTable(database, session, {
    name: 'Queue',
    columns: [
      { name: 'name', type: 'text', maxLength: 200 },
      { name: 'filler', type: 'binary', maxLength: 255 },
    ],
    indexes: [{ name: 'byName', primary: true, segments: ['name'] }],
  });
  const cursor = new Cursor(session, table);
  /** Long keys, so that few pointers fit on an internal page. */
  const nameOf = (n: number): string =>
    `${'queue/'.repeat(12)}${String(n).padStart(6, '0')}${'x'.repeat(100)}`;
  const insert = (n: number, lazy = true): void => {
    cursor.insert({ name: nameOf(n), filler: FILLER }, { lazy });
  };
  const remove = (n: number): void => {
    expect(cursor.seek('=', nameOf(n))).toBe(true);
    cursor.delete({ lazy: true });
  };
  return { ...lab, session, cursor, insert, remove };
}

/** Pages of the tree of the queue. */
function pagesOf(fs: FileSystem): { leaves: number; internal: number; nodes: number } {
  const reader = openDatabaseReader(fs, LAB_DATABASE);
  try {
    const table = reader.tables().find(({ name }) => name === 'Queue');
    if (table === undefined) throw new Error('there is no queue');
    const count = { leaves: 0, internal: 0, nodes: 0 };
    walkTree(reader.source, table, {
      internal: () => {
        count.internal++;
      },
      leaf: (page) => {
        count.leaves++;
        count.nodes += page.nodeCount;
      },
    });
    return count;
  } finally {
    reader.close();
  }
}

describe('clean-up', () => {
  it('leaves a few pages of a queue of which all rows but the newest were taken', () => {
    const { disk, instance, insert, remove } = queueLab();
    const rows = 2000;
    for (let n = 0; n < rows; n++) {
      insert(n);
      if (n >= 20) remove(n - 20);
      if (n % 50 === 49) instance.cleanUp();
    }
    instance.close();
    const { leaves, internal, nodes } = pagesOf(disk);
    expect(nodes).toBe(20);
    expect(leaves).toBeLessThan(8);
    expect(internal).toBeLessThan(4);
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
  });

  it('gives the rows of the last leaf below a page to the left one, and recovery does the same', async () => {
    const { disk, instance, cursor, insert, remove } = queueLab();
    for (let n = 0; n < 600; n++) insert(n);
    for (let n = 0; n < 600; n++) if (n % 12 !== 0) remove(n);
    instance.cleanUp();
    // Makes durable what went before.
    insert(600, false);
    const kept = Array.from({ length: 51 }, (_, i) => `${String(12 * i).padStart(6, '0')}`);
    const numbers = (): string[] => {
      const found: string[] = [];
      for (let on = cursor.first(); on; on = cursor.next()) {
        found.push(String(cursor.get('name')).replace(/^(queue\/)*|x*$/g, ''));
      }
      return found;
    };
    expect(numbers()).toEqual(kept);
    // As a crash leaves it: the pages come from the log alone.
    instance.abandon();
    const records = recordsOf(disk, `${LAB}/E00.log`);
    const types = new Set(
      records.filter(({ lrtyp }) => lrtyp === 'Merge2').map(({ mergetype }) => mergetype),
    );
    expect(types).toContain(MERGE_TYPE.fullLeft);
    await recover(seededEnvironment({ fs: disk, seed: 2 }), {
      baseName: 'E00',
      logPath: LAB,
      systemPath: LAB,
    });
    const { nodes, leaves } = pagesOf(disk);
    expect(nodes).toBe(kept.length);
    expect(leaves).toBeLessThan(15);
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
  });
});
