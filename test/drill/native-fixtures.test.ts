import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FixtureFacts, type FixtureSet, makeFixtures } from '../../src/drill/native-fixtures.js';
import { digestOfLine } from '../../src/drill/workload-tables.js';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { DATABASE_STATE } from '../../src/format/database-header.js';
import { seededEnvironment } from '../../src/io/environment.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';
import { exportTable } from '../../src/maintenance/export.js';
import { recover } from '../../src/recovery/recover.js';
import { compareWithEsedbexport, hasEsedbexport } from '../support/esedbexport.js';
import { putFile } from '../support/files.js';
import { toRealFile } from '../support/recovery-disk.js';
import { judgeStructure } from '../support/workload-lab.js';

/**
 * The fixtures in the repository against what makes them: the same bytes, the same facts; and the facts against what
 * readers find in the bytes.
 */
const home = fileURLToPath(new URL('../../native-fixtures', import.meta.url));
const names = readdirSync(home, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? [entry.name] : [],
);
const folder = mkdtempSync(join(tmpdir(), 'esekit-fixtures-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A set as it lies in the repository. */
function storedSet(name: string): { files: Map<string, Uint8Array>; facts: FixtureFacts } {
  const files = new Map<string, Uint8Array>();
  for (const file of readdirSync(join(home, name)).sort()) {
    if (!file.endsWith('.gz')) continue;
    files.set(file.slice(0, -'.gz'.length), gunzipSync(readFileSync(join(home, name, file))));
  }
  const facts = JSON.parse(readFileSync(join(home, name, 'facts.json'), 'utf8')) as FixtureFacts;
  return { files, facts };
}

let made: Map<string, FixtureSet>;
beforeAll(() => {
  made = new Map(makeFixtures().map((set) => [set.name, set]));
}, 120_000);

it('every set is there, and no other', () => {
  expect(names).toEqual([...made.keys()].sort());
});

describe.each(names)('fixture %s', (name) => {
  it('is made again byte for byte, with the same facts', () => {
    const { files, facts } = storedSet(name);
    const again = made.get(name);
    expect([...files.keys()]).toEqual([...(again?.files.keys() ?? [])]);
    for (const [file, bytes] of files) {
      expect(`${file} ${sha256(bytes)}`).toBe(
        `${file} ${sha256(again?.files.get(file) ?? bytes.subarray(1))}`,
      );
      expect(facts.files[file]).toEqual({ bytes: bytes.length, sha256: sha256(bytes) });
    }
    expect(facts).toEqual(again?.facts);
  });

  it('holds what its facts say, after recovery where that is needed', async () => {
    const { files, facts } = storedSet(name);
    const disk = createSimulatedDisk();
    disk.mkdir('/set');
    for (const [file, bytes] of files) putFile(disk, `/set/${file}`, bytes);
    const database = '/set/fixture.edb';
    expect(stateOf(disk, database)).toBe(facts.state);
    if (facts.state !== 'Clean Shutdown') {
      await recover(seededEnvironment({ fs: disk, seed: 1 }), {
        baseName: facts.baseName,
        logPath: '/set',
        systemPath: '/set',
        databasePath: '/set',
      });
      expect(stateOf(disk, database)).toBe('Clean Shutdown');
    }
    const reader = openDatabaseReader(disk, database);
    expect(reader.pageSize).toBe(facts.pageSize);
    for (const [table, { columns, indexes, rows }] of Object.entries(facts.tables)) {
      const definition = reader.table(table);
      expect(definition.columns.map((column) => column.name).sort()).toEqual(Object.keys(columns).sort());
      expect(definition.indexes.map((index) => index.name).sort()).toEqual(Object.keys(indexes).sort());
      const digests: string[] = [];
      await exportTable(reader, definition, 'canonical', (bytes) => {
        const lines = Buffer.from(bytes).toString('latin1').split('\n').slice(0, -1);
        for (const line of lines) digests.push(digestOfLine(Buffer.from(line, 'latin1')));
      });
      expect({ table, digests }).toEqual({ table, digests: Object.values(rows) });
    }
    reader.close();
    judgeStructure(disk, database);
    if (!hasEsedbexport) return console.log('esedbexport is not installed: not compared');
    const file = join(folder, `${name}.edb`);
    toRealFile(disk, database, file);
    expect(compareWithEsedbexport(file).unexplained).toEqual([]);
  });
});

function stateOf(disk: SimulatedDisk, path: string): FixtureFacts['state'] {
  if (!disk.exists(path)) return 'missing';
  const reader = openDatabaseReader(disk, path);
  reader.close();
  return reader.header.state === DATABASE_STATE.cleanShutdown ? 'Clean Shutdown' : 'Dirty Shutdown';
}
