import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { readHeaderOf } from '../../src/maintenance/file-kind.js';
import type { RepairReport } from '../../src/maintenance/repair/repair-report.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { readFile } from '../support/files.js';
import { integrityMeaning } from '../support/integrity-meaning.js';
import { SAMPLE, sampleDatabase } from '../support/sample-database.js';
import { eseutil, eseutilJson, temporaryFolder } from './run.js';

const folder = temporaryFolder();
let number = 0;

/** A database in a folder of its own. */
function place(bytes: Uint8Array, name = 'db.edb'): string {
  const own = join(folder, `${++number}`);
  mkdirSync(own);
  const path = join(own, name);
  writeFileSync(path, bytes);
  return path;
}

const samples: Uint8Array[] = [];

function sample(): Uint8Array {
  samples[0] ??= readFile(sampleDatabase({ rows: 40 }), SAMPLE);
  return samples[0];
}

/** Whether the page at an offset is a leaf with records, and no root. */
function isDataLeaf(file: Buffer, offset: number): boolean {
  const flags = file.readUInt32LE(offset + 36);
  return (flags & 0x2) !== 0 && (flags & (0x1 | 0x20 | 0x40 | 0x80)) === 0;
}

/** The sample with a leaf of the table `People` that nobody can read. */
function damaged(): Uint8Array {
  const bytes = Uint8Array.from(sample());
  const page = Buffer.from(bytes.buffer);
  // The last leaf of the tree whose root says that it is a table's: any page of it will do.
  for (let offset = 31 * 4096; offset < bytes.length; offset += 4096) {
    if (!isDataLeaf(page, offset)) continue;
    bytes.fill(0x5a, offset + 60, offset + 3000);
    return bytes;
  }
  throw new Error('the sample has no leaf');
}

/** Changes the text of a row, so that the checksum of its page is wrong and all else is right. */
function spoilRow(bytes: Uint8Array): void {
  const file = Buffer.from(bytes.buffer);
  const text = Buffer.from('Łódź', 'utf16le');
  for (let at = file.indexOf(text); at >= 0; at = file.indexOf(text, at + 1)) {
    if (!isDataLeaf(file, at - (at % 4096))) continue;
    for (const i of [0, 2, 4]) bytes[at + i] = (bytes[at + i] ?? 0) ^ 0x15;
    return;
  }
  throw new Error('the sample has no such text');
}

const prefixOf = (path: string): string => `-f${path.replace(/\.[a-z]+$/, '')}`;
const temporary = (path: string): string => `-t${join(path, '..', 'TEMPREPAIR1.EDB')}`;
const args = (path: string): string[] => ['-p', path, prefixOf(path), temporary(path)];

describe('eseutil /p asks before it repairs', () => {
  test.each([
    [['ok'], 0],
    [['Yes'], 0],
    [[''], 5],
    [['no'], 5],
    [[], 5],
  ])('answer %j ends with %i', async (answers, exit) => {
    const bytes = Uint8Array.from(sample());
    bytes.fill(7, 4096, 4200);
    const path = place(bytes);
    const run = await eseutil(args(path), { stdinIsTerminal: true, stdoutIsTerminal: true, answers });
    expect(run.exit).toBe(exit);
    expect(run.stdout).toContain('Do you wish to proceed? (OK/Cancel) ');
    expect(readFileSync(path).equals(Buffer.from(bytes))).toBe(exit === 5);
    if (exit !== 5) return;
    expect(run.stdout).toMatch(/error -1003 \(JET_errInvalidParameter, declined\)/);
    expect(readdirSync(join(path, '..'))).toEqual(['db.edb']);
  });

  test('a script is not asked: without /o or --yes nothing is done', async () => {
    const path = place(damaged());
    const json = await eseutilJson(args(path));
    expect(json.exit).toBe(5);
    expect(json.error).toMatchObject({ code: -1003, name: 'NoTerminal' });
    expect(readFileSync(path).equals(Buffer.from(damaged()))).toBe(true);
  });

  test('with /g it checks first, and a healthy database needs no question', async () => {
    const path = place(sample());
    const run = await eseutil([...args(path), '-g'], { stdinIsTerminal: true, answers: [] });
    expect(run.exit).toBe(0);
    expect(run.stdout).not.toContain('proceed');
    expect(run.stdout).toContain('Integrity check successful.');
    expect(run.stdout).toContain('Note:\n  It is recommended');
    const out = join(path, '..', 'new.edb');
    expect((await eseutil([...args(path), '-o', '--out', out])).stdout).toContain(
      'no other database was made',
    );
    expect(existsSync(out)).toBe(false);
    expect(readFileSync(path).equals(Buffer.from(sample()))).toBe(true);
  });

  test.each(['-p', '-g'])('%s whose report cannot be written says so before it checks', async (mode) => {
    const path = place(damaged());
    const run = await eseutil([mode, path, `-f${join(path, '..', 'nowhere', 'db')}`, temporary(path), '-o']);
    expect(run.exit).toBe(3);
    expect(run.stdout).toContain('error -1023 (JET_errInvalidPath, the report cannot be written there');
    expect(run.stdout).not.toContain('Checking database integrity.');
    expect(readdirSync(join(path, '..'))).toEqual(['db.edb']);
  });

  test('with /d it only checks', async () => {
    const path = place(damaged());
    const run = await eseutil([...args(path), '-o', '-d']);
    expect(run.exit).toBe(2);
    expect(run.stdout).toContain('error -1206 (JET_errDatabaseCorrupted');
    expect(readFileSync(path).equals(Buffer.from(damaged()))).toBe(true);
  });

  test('with /g the question comes after the check, and /o does not answer it', async () => {
    const path = place(damaged());
    const declined = await eseutil([...args(path), '-g', '-o'], {
      stdinIsTerminal: true,
      stdoutIsTerminal: true,
      answers: ['x'],
    });
    expect(declined.exit).toBe(2);
    const check = declined.stdout.indexOf('CORRUPTED');
    expect(check).toBeGreaterThan(0);
    expect(declined.stdout.indexOf('proceed')).toBeGreaterThan(check);
    expect(readFileSync(path).equals(Buffer.from(damaged()))).toBe(true);
    expect(readFileSync(join(path, '..', 'db.INTEG.RAW'), 'utf8')).toContain('ERROR: ');
  });
});

describe('eseutil /p', () => {
  test('ends with 595, and with exit 4 where something was lost', async () => {
    const path = place(damaged());
    const run = await eseutil([...args(path), '-o']);
    expect(run.exit).toBe(4);
    expect(run.stdout).toContain('Scanning the database.');
    expect(run.stdout).toContain('Repairing damaged tables.');
    expect(run.stdout).toContain('Repair completed. Database corruption has been repaired!');
    expect(run.stdout).toMatch(
      /Operation completed successfully with 595 \(JET_wrnDatabaseRepaired, [^)]+\) after/,
    );
    expect(readdirSync(join(path, '..'))).toEqual(['db.INTEG.RAW', 'db.edb', 'db.edb.repair-undo']);
  });

  test('what it did can be taken back, byte for byte', async () => {
    const path = place(damaged());
    await eseutil([...args(path), '-o']);
    const undo = `${path}.repair-undo`;
    const repaired = readFileSync(path);
    expect(repaired.equals(Buffer.from(damaged()))).toBe(false);
    const back = await eseutil(['-p', path, '--undo', undo]);
    expect(back.exit).toBe(0);
    expect(readFileSync(path).equals(Buffer.from(damaged()))).toBe(true);
    const again = await eseutil(['-p', path, '--undo', undo]);
    expect(again.stdout).toContain('already as it was');
    writeFileSync(path, repaired.fill(1, 9000, 9001));
    expect((await eseutil(['-p', path, '--undo', undo])).stdout).toContain('error -1028');
    expect(readFileSync(path).equals(repaired)).toBe(true);
  });

  test('the repaired database may be read by those who could read the old one, and so may what is kept', async () => {
    const path = place(damaged());
    chmodSync(path, 0o600);
    const folderOf = join(path, '..');
    const lost = join(folderOf, 'lost');
    expect((await eseutil([...args(path), '-o', '--keep-lost', lost])).exit).toBe(4);
    const accessOf = (name: string): number => statSync(name).mode & 0o777;
    expect(accessOf(path)).toBe(0o600);
    expect(accessOf(`${path}.repair-undo`)).toBe(0o600);
    for (const name of readdirSync(lost)) expect(accessOf(join(lost, name))).toBe(0o600);
    await eseutil(['-p', path, '--undo', `${path}.repair-undo`]);
    expect(accessOf(path)).toBe(0o600);
  });

  test('a symbolic link stays one: its file is repaired', async () => {
    const path = place(damaged());
    const link = join(path, '..', 'link.edb');
    symlinkSync('db.edb', link);
    expect((await eseutil([...args(link), '-o'])).exit).toBe(4);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect((await eseutil(['-g', path, prefixOf(path)])).exit).toBe(0);
    await eseutil(['-p', link, '--undo', `${link}.repair-undo`]);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(readFileSync(path).equals(Buffer.from(damaged()))).toBe(true);
  });

  test('JSON has the fields of the specification, in its order', async () => {
    const path = place(damaged());
    const json = await eseutilJson<Record<string, unknown>>([...args(path), '-o']);
    expect(json).toMatchObject({ mode: 'repair', file: path, ok: true, exit: 4 });
    expect(json.warnings).toMatchObject([{ code: 595, name: 'JET_wrnDatabaseRepaired' }]);
    expect(Object.keys(json.result)).toEqual([
      'action',
      'headerChanged',
      'pageSize',
      'bytes',
      'stateBefore',
      'stateAfter',
      'requiredLogs',
      'repairCount',
      'signDbBefore',
      'signDbAfter',
      'output',
      'undoFile',
      'keptLost',
      'report',
      'pages',
      'correctedPages',
      'tables',
      'findings',
    ]);
    const { total, ...classes } = json.result.pages as Record<string, number>;
    expect(Object.values(classes).reduce((sum, count) => sum + count, 0)).toBe(total);
    expect(json.result).toMatchObject({
      action: 'repaired',
      headerChanged: true,
      repairCount: 2,
      keptLost: null,
    });
  });

  test('--no-undo keeps nothing, --out leaves the source', async () => {
    const path = place(damaged());
    const out = join(path, '..', 'new.edb');
    const json = await eseutilJson([...args(path), '-o', '--out', out]);
    expect(json).toMatchObject({ exit: 4, result: { action: 'repaired', output: out, undoFile: null } });
    expect(readFileSync(path).equals(Buffer.from(damaged()))).toBe(true);
    await eseutil([...args(path), '-o', '--no-undo']);
    expect(readdirSync(join(path, '..'))).toEqual(['db.INTEG.RAW', 'db.edb', 'new.edb']);
  });

  test('--keep-lost keeps damaged pages, and the finding says where', async () => {
    const path = place(damaged());
    const lost = join(path, '..', 'lost');
    const json = await eseutilJson([...args(path), '-o', '--keep-lost', lost]);
    const { findings, keptLost } = json.result as {
      findings: { saved?: string; pgno?: number }[];
      keptLost: string;
    };
    expect(keptLost).toBe(lost);
    const saved = findings.find((finding) => finding.saved !== undefined);
    expect(existsSync(saved?.saved ?? '')).toBe(true);
    const offset = ((saved?.pgno ?? 0) + 1) * 4096;
    expect(
      readFileSync(saved?.saved ?? '').equals(Buffer.from(damaged().subarray(offset, offset + 4096))),
    ).toBe(true);
  });

  test('--strict leaves out what no checksum speaks for, lists it, and counts it once', async () => {
    const bytes = Uint8Array.from(sample());
    spoilRow(bytes);
    const lenient = place(bytes);
    const strict = place(bytes);
    const keptBy = async (path: string, ...options: string[]) => {
      const { exit, result } = await eseutilJson<RepairReport>([...args(path), '-o', ...options]);
      expect((await eseutil(['-g', path, prefixOf(path)])).exit).toBe(0);
      const people = result.tables.find(({ name }) => name === 'People');
      return { exit, records: people?.records, findings: result.findings };
    };
    const all = await keptBy(lenient);
    const unverified = all.records?.unverified ?? 0;
    expect(unverified).toBeGreaterThan(1);
    expect(all.records).toMatchObject({ kept: 40, dropped: 0, lost: { known: 0, estimated: 0 } });
    expect(all.exit).toBe(0);

    const lost = join(strict, '..', 'lost');
    const proven = await keptBy(strict, '--strict', '--keep-lost', lost);
    expect(proven.exit).toBe(4);
    expect(proven.records).toEqual({
      kept: 40 - unverified,
      lost: { known: 0, estimated: 0 },
      unverified: 0,
      superseded: 0,
      dropped: unverified,
    });
    expect(proven.findings.filter(({ action }) => action === 'left out')).toHaveLength(unverified);
    const records = readFileSync(join(lost, 'lost-records.jsonl'), 'utf8').trimEnd().split('\n');
    expect(records).toHaveLength(unverified);
  });

  test('both headers gone: only --force-header goes on', async () => {
    const bytes = Uint8Array.from(sample());
    bytes.fill(9, 0, 8192);
    const path = place(bytes);
    const refused = await eseutil([...args(path), '-o']);
    expect(refused.exit).toBe(2);
    expect(refused.stdout).toContain('error -1206 (JET_errDatabaseCorrupted');
    expect(readFileSync(path).equals(Buffer.from(bytes))).toBe(true);
    const json = await eseutilJson([...args(path), '-o', '--force-header']);
    expect(json).toMatchObject({
      exit: 0,
      result: { action: 'repaired', stateAfter: 'Clean Shutdown', repairCount: 2 },
    });
    expect((await eseutil(['-g', path, prefixOf(path)])).exit).toBe(0);
    expect(
      readFileSync(path)
        .subarray(8192)
        .equals(Buffer.from(bytes.subarray(8192))),
    ).toBe(true);
  });
});

describeWithCorpus('eseutil /p on the databases of Windows', () => {
  const DIRTY = corpusPath('recovery', 'srum-dirty', 'SRUDB.dat');

  test('leaves what Windows left: every page, and the header but for its own machine', async () => {
    const path = place(readFileSync(DIRTY), 'SRUDB.dat');
    const run = await eseutil([...args(path), '-o']);
    expect(run.exit).toBe(0);
    const windows = corpusPath('recovery', 'srum-dirty', 'repaired-by-windows.dat');
    expect(readFileSync(path).subarray(8192).equals(readFileSync(windows).subarray(8192))).toBe(true);
    const own = readHeaderOf(nodeFileSystem, path);
    const theirs = readHeaderOf(nodeFileSystem, windows);
    const differing = Object.entries(own ?? {})
      .filter(([name, value]) => !isDeepStrictEqual(value, theirs?.[name as keyof typeof theirs]))
      .map(([name]) => name);
    // Signatures and times of the run; formats and versions of the machine that repaired.
    expect(differing).toEqual([
      'checksum',
      'signDb',
      'logtimeConsistent',
      'logtimeAttach',
      'logtimeDetach',
      'osBuildNumber',
      'updateMajor',
      'logtimeRepair',
      'sortVersion',
      'signDbHdrFlush',
      'signFlushMapHdrFlush',
      'updateMinor',
      'efvMaxBinAttached',
    ]);
    const bytes = readFileSync(path);
    expect(bytes.subarray(0, 4096).equals(bytes.subarray(4096, 8192))).toBe(true);
  });

  test('its report says what that of Windows says, line by line', async () => {
    const path = place(readFileSync(DIRTY), 'SRUDB.dat');
    await eseutil([...args(path), '-o']);
    const own = readFileSync(join(path, '..', 'SRUDB.INTEG.RAW'), 'utf8').replaceAll(path, 'SRUDB.dat');
    const theirs = readFileSync(
      corpusPath('recovery', 'srum-dirty', 'repaired-by-windows.INTEG.RAW'),
      'utf8',
    );
    expect(integrityMeaning(own)).toEqual(integrityMeaning(theirs));
    const ending = (text: string): string[] => {
      const lines = text.replaceAll('\r', '').replaceAll('.\\', '').split('\n');
      return lines
        .slice(lines.findIndex((line) => line.startsWith('changing signature')))
        .map((line) =>
          line
            .replace(/\d\d\/\d\d\/\d{4} \d\d:\d\d:\d\d\.\d{3} Rand:\d+/, 'TIME')
            .replace(/in \d+ seconds/, 'in N seconds'),
        )
        .join('\n')
        .trimEnd()
        .split('\n');
    };
    expect(ending(own)).toEqual(ending(theirs));
    expect(own.split('\n')[0]).toMatch(/^\*{5} Repair of database 'SRUDB\.dat' started \[/);
  });

  test('hints at recovery where the logs lie beside the database', async () => {
    const path = place(readFileSync(DIRTY), 'SRUDB.dat');
    copyFileSync(corpusPath('recovery', 'srum-dirty', 'SRU00051.log'), join(path, '..', 'SRU00051.log'));
    const run = await eseutil([...args(path), '-o']);
    expect(run.stderr).toContain('eseutil /r SRU ');
    expect(run.stdout).toContain('Log files 81-81 (0x51-0x51) are required');
  });

  test('a dirty database without logs becomes clean with all of its rows', async () => {
    const path = place(readFileSync(corpusPath('databases', 'ual-dirty.mdb')), 'ual.mdb');
    const before = readFileSync(path);
    const run = await eseutil([...args(path), '-o']);
    expect(run.exit).toBe(0);
    expect(readFileSync(path).subarray(8192).equals(before.subarray(8192))).toBe(true);
    const json = await eseutilJson(['-g', path, prefixOf(path)]);
    expect(json).toMatchObject({ exit: 0, result: { dirty: false, errors: 0, warnings: 0 } });
    const repaired = readFileSync(path);
    await eseutil([...args(path), '-o']);
    expect(readFileSync(path).equals(repaired)).toBe(true);
  });
});
