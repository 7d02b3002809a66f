import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DATABASE_STATE } from '../../src/format/database-header.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { assertSound } from '../../src/maintenance/integrity.js';
import { damagedBytes } from '../support/damaged-database.js';
import { readFile } from '../support/files.js';
import { SAMPLE, sampleDatabase } from '../support/sample-database.js';
import { eseutil, eseutilJson, temporaryFolder } from './run.js';

interface DefragResult {
  readonly installed: boolean;
  readonly temp: string | null;
  readonly backup: string | null;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly records: number;
  readonly tables: number;
  readonly signDbAfter: { readonly random: number };
}

describe('eseutil /d', () => {
  const root = temporaryFolder();
  const home = process.cwd();
  let sample: Buffer;
  let folder: string;
  let number = 0;

  beforeAll(() => {
    sample = Buffer.from(readFile(sampleDatabase({ rows: 80, keepEvery: 2 }), SAMPLE));
  });
  beforeEach(() => {
    folder = join(root, String(number++));
    mkdirSync(folder);
    process.chdir(folder);
    writeFileSync('vault.edb', sample);
  });
  afterAll(() => process.chdir(home));

  const isUntouched = (): boolean => readFileSync('vault.edb').equals(sample);

  it('defragments the file that a symbolic link leads to, and its access rights stay', async () => {
    chmodSync('vault.edb', 0o600);
    symlinkSync('vault.edb', 'link.edb');
    expect((await eseutil(['/d', 'link.edb'])).exit).toBe(0);
    expect(lstatSync('link.edb').isSymbolicLink()).toBe(true);
    expect(isUntouched()).toBe(false);
    expect(statSync('vault.edb').mode & 0o777).toBe(0o600);
  });

  it('prints what the original prints', async () => {
    const run = await eseutil(['/d', 'vault.edb', '--progress=always']);
    expect(run.exit).toBe(0);
    const text = run.lines.slice(run.lines.indexOf('Initiating DEFRAGMENTATION mode...'));
    expect(text.slice(0, -3)).toEqual([
      'Initiating DEFRAGMENTATION mode...',
      '            Database: vault.edb',
      '',
      '                  Defragmentation Status (% complete)',
      '',
      '          0    10   20   30   40   50   60   70   80   90  100',
      '          |----|----|----|----|----|----|----|----|----|----|',
      '          ...................................................',
      '',
      '',
      "Moving '.\\TEMPDFRG4711.EDB' to 'vault.edb'... DONE!",
      '',
      'Note:',
      '  It is recommended that you immediately perform a full backup',
      '  of this database. If you restore a backup made before the',
      '  defragmentation, the database will be rolled back to the state',
      '  it was in at the time of that backup.',
      '',
    ]);
    expect(text.at(-3)).toMatch(/^Operation completed successfully in \d+\.\d+ seconds\.$/);
    expect(readdirSync('.')).toEqual(['vault.edb']);
    assertSound(nodeFileSystem, 'vault.edb');
    expect(readFileSync('vault.edb').length).toBeLessThan(sample.length);
  });

  it('moves the original away first, with /b', async () => {
    const run = await eseutil(['/d', 'vault.edb', '/bold.edb', '/t', 'work.edb']);
    expect(run.exit).toBe(0);
    expect(run.lines.filter((line) => line.startsWith('Moving'))).toEqual([
      "Moving 'vault.edb' to 'old.edb'... DONE!",
      "Moving 'work.edb' to 'vault.edb'... DONE!",
    ]);
    expect(readdirSync('.')).toEqual(['old.edb', 'vault.edb']);
    expect(readFileSync('old.edb').equals(sample)).toBe(true);
  });

  it('leaves the copy where it is, with /p', async () => {
    const run = await eseutil(['/d', 'vault.edb', '/p', '/twork.edb']);
    expect(run.exit).toBe(0);
    expect(run.stdout).toContain("The defragmented database is 'work.edb'.\n");
    expect(run.stdout).not.toContain('Moving');
    expect(isUntouched()).toBe(true);
    assertSound(nodeFileSystem, 'work.edb');
  });

  it('takes its random numbers from --seed, and other options of its own', async () => {
    const randoms: number[] = [];
    for (const seed of ['7', '7', '8']) {
      const { exit, result } = await eseutilJson<DefragResult>([
        '/d',
        'vault.edb',
        '/p',
        '/twork.edb',
        `--seed=${seed}`,
        '--dedupe-lv',
        '--rebuild-indexes',
        '--keep-temp',
      ]);
      expect(exit).toBe(0);
      randoms.push(result.signDbAfter.random);
      unlinkSync('work.edb');
    }
    expect(randoms[1]).toBe(randoms[0]);
    expect(randoms[2]).not.toBe(randoms[0]);
  });

  it('gives its report as JSON', async () => {
    const { mode, exit, result, warnings } = await eseutilJson<DefragResult>([
      '/d',
      'vault.edb',
      '/bold.edb',
    ]);
    expect({ mode, exit, warnings }).toEqual({ mode: 'defrag', exit: 0, warnings: [] });
    expect(result).toMatchObject({
      installed: true,
      temp: null,
      backup: 'old.edb',
      bytesBefore: sample.length,
      bytesAfter: readFileSync('vault.edb').length,
      tables: 3,
      records: 40 + 25,
      longValues: expect.any(Number),
      orphansDropped: expect.any(Number),
      spaceNeededBytes: expect.any(Number),
      spaceFreeBytes: expect.any(Number),
      signDbBefore: { random: expect.any(Number) },
      signDbAfter: { random: expect.any(Number) },
      findings: [],
    });
  });

  it('refuses a dirty database before anything is made: -550, exit 5', async () => {
    const damaged = damagedBytes(sample);
    damaged.editHeader({ state: DATABASE_STATE.dirtyShutdown });
    writeFileSync('vault.edb', damaged.bytes);
    const run = await eseutil(['/d', 'vault.edb', '--progress=always']);
    expect(run.exit).toBe(5);
    expect(run.stdout).toMatch(
      /Operation terminated with error -550 \(JET_errDatabaseDirtyShutdown, .*\) after/,
    );
    expect(readdirSync('.')).toEqual(['vault.edb']);
  });

  it('ends with -1811 and -1814 where files are missing or in the way', async () => {
    expect((await eseutil(['/d', 'nothing.edb'])).stdout).toContain('error -1811 (JET_errFileNotFound, ');
    writeFileSync('mine.txt', 'mine');
    const run = await eseutil(['/d', 'vault.edb', '/tmine.txt']);
    expect(run.exit).toBe(3);
    expect(run.stdout).toContain('error -1814 (JET_errFileAlreadyExists, ');
    expect(readFileSync('mine.txt', 'utf8')).toBe('mine');
    expect((await eseutil(['/d', 'vault.edb', '/tvault.edb'])).stdout).toContain('error -1028 (');
    expect(isUntouched()).toBe(true);
  });

  it('refuses formats that it does not write, and takes the one that it keeps', async () => {
    const refused = await eseutil(['/d', 'vault.edb', '/efv9060']);
    expect(refused.exit).toBe(3);
    expect(refused.stdout).toContain('error -1001 (JET_errFeatureNotAvailable, ');
    expect(isUntouched()).toBe(true);
    expect((await eseutil(['/d', 'vault.edb', '/efvUsePersistedFormat', '/4'])).exit).toBe(0);
    expect((await eseutil(['/d', 'vault.edb', '/8'])).stdout).toContain('JET_errPageSizeMismatch');
  });

  it('asks on a terminal, where recipes mention the question, and nowhere else', async () => {
    const declined = await eseutil(['/d', 'vault.edb'], { stdinIsTerminal: true, answers: [''] });
    expect(declined.exit).toBe(5);
    expect(declined.stderr).toBe("Defragment 'vault.edb'? (OK/Cancel) ");
    expect(declined.stdout).toContain('error -1003 (JET_errInvalidParameter, declined) after');
    expect(isUntouched()).toBe(true);
    const json = await eseutil(['/d', 'vault.edb', '--json'], { stdinIsTerminal: true, answers: ['no'] });
    expect(JSON.parse(json.stdout)).toMatchObject({ exit: 5, error: { code: -1003, name: 'Declined' } });
    const windows = await eseutil(['/d', 'vault.edb', '--compat=win'], { stdinIsTerminal: true });
    expect([windows.exit, windows.stderr]).toEqual([0, '']);
    const yes = await eseutil(['/d', 'vault.edb', '--yes'], { stdinIsTerminal: true });
    expect([yes.exit, yes.stderr]).toEqual([0, '']);
    const ok = await eseutil(['/d', 'vault.edb'], { stdinIsTerminal: true, answers: ['OK'] });
    expect(ok.exit).toBe(0);
  });

  it('shows the names that the 2003 edition shows, and ignores a streaming file', async () => {
    const run = await eseutil(['/d', 'vault.edb', '/svault.stm', '--compat=e2003']);
    expect(run.exit).toBe(0);
    expect(run.lines).toContain('      Streaming File: vault.stm');
    expect(run.lines).toContain('      Temp. Database: .\\TEMPDFRG4711.EDB');
    expect(run.stderr).toContain('streaming file options are ignored');
  });

  it('writes its statistics for each table', async () => {
    const run = await eseutil(['/d', 'vault.edb', '/n']);
    expect(run.exit).toBe(0);
    const [headings, ...tables] = readFileSync('DFRGINFO.TXT', 'utf8').trimEnd().split('\n');
    expect(headings?.split('\t')[5]).toBe('# Records Copied');
    expect(
      tables
        .map((line) => line.split('\t'))
        .map(([name, , indexes, , , records]) => [name, indexes, records]),
    ).toEqual([
      ['Empty', '0', '0'],
      ['NoKey', '1', '25'],
      ['People', '6', '40'],
    ]);
  });

  it.skipIf(process.getuid?.() === 0)('says which move failed', async () => {
    mkdirSync('locked');
    chmodSync('locked', 0o500);
    const run = await eseutil(['/d', 'vault.edb', '/blocked/old.edb']);
    expect(run.stdout).toContain("Moving 'vault.edb' to 'locked/old.edb'... FAILED!");
    expect(run.stdout).toContain("Error: Could not backup to 'locked/old.edb'.");
    expect(isUntouched()).toBe(true);
    expect(existsSync('TEMPDFRG4711.EDB')).toBe(false);
    chmodSync('locked', 0o700);
  });
});
