import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { IntegrityReport } from '../../src/maintenance/integrity.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { integrityMeaning } from '../support/integrity-meaning.js';
import { eseutil, eseutilJson, temporaryFolder } from './run.js';

const CLEAN = ['recovery', 'srum-clean', 'SRUDB.dat'] as const;
const DIRTY = ['recovery', 'srum-dirty', 'SRUDB.dat'] as const;
describeWithCorpus('eseutil /g', () => {
  const folder = temporaryFolder();
  let number = 0;
  /** A copy of a database under its own name, and the switch that puts the report beside it. */
  const copyOf = (parts: readonly string[], name = `db${++number}.edb`) => {
    const path = join(folder, name);
    copyFileSync(corpusPath(...parts), path);
    return { path, prefix: `/f${path}` };
  };
  const damage = (path: string, offset: number, mask: number): void => {
    const bytes = readFileSync(path);
    bytes[offset] = (bytes[offset] ?? 0) ^ mask;
    writeFileSync(path, bytes);
  };

  test('a sound database', async () => {
    const { path, prefix } = copyOf(['databases', 'basic.edb']);
    const run = await eseutil(['/g', path, prefix, '--compat=exch']);
    expect(run.exit).toBe(0);
    expect(run.lines.slice(5, 12)).toEqual([
      'Initiating INTEGRITY mode...',
      `        Database: ${path}`,
      '  Temp. Database: .\\TEMPINTEG4711.EDB',
      '',
      'Checking database integrity.',
      'Integrity check successful.',
      '',
    ]);
    expect(run.stdout).toMatch(/\nOperation completed successfully in \d+\.\d+ seconds\.\n\n$/);
  });

  test('on a terminal it draws the bar of the original', async () => {
    const { path, prefix } = copyOf(['databases', 'basic.edb']);
    const run = await eseutil(['/g', path, prefix], { stdoutIsTerminal: true });
    expect(run.lines).toContain(`${' '.repeat(21)}Scanning Status (% complete)`);
    expect(run.lines).toContain(`${' '.repeat(10)}${'.'.repeat(51)}`);
  });

  test.each([
    ['srum-clean', CLEAN, 'after-windows-p.INTEG.RAW'],
    ['srum-dirty', DIRTY, 'repaired-by-windows.INTEG.RAW'],
  ])('the report on %s says what that of Windows says, phase by phase', async (set, parts, report) => {
    const { path, prefix } = copyOf(parts, 'SRUDB.dat');
    await eseutil(['/g', path, prefix]);
    const own = readFileSync(`${path}.INTEG.RAW`, 'utf8').replaceAll(path, 'SRUDB.dat');
    const windows = readFileSync(corpusPath('recovery', set, report), 'utf8');
    expect(integrityMeaning(own)).toEqual(integrityMeaning(windows));
    expect(own.split('\n')[0]).toMatch(/^\*{5} Integrity of database 'SRUDB\.dat' started \[esekit version /);
    expect(own).toMatch(
      /\n\nIntegrity check successful\.\n\n\n\n\*{5} Eseutil completed in \d+ seconds\n\n$/,
    );
  });

  test('a corrupt database ends with -1206 and exit 2; the report names the page', async () => {
    const { path, prefix } = copyOf(CLEAN);
    damage(path, (34 + 1) * 4096 + 1000, 0x11);
    const run = await eseutil(['/g', path, prefix]);
    expect(run.exit).toBe(2);
    expect(run.lines).toContain('Integrity check completed.  Database is CORRUPTED!');
    expect(run.stdout).toMatch(/Operation terminated with error -1206 \(JET_errDatabaseCorrupted, /);
    const report = readFileSync(`${path}.INTEG.RAW`, 'utf8');
    expect(report).toContain(
      'SruDbIdMapTable:\t0:\tERROR: SruDbIdMapTable, page 34: the page checksum is wrong (PAGE_BAD_CHECKSUM; ',
    );
    expect(report).toContain(
      'SruDbIdMapTable:\t0:\tintegrity-check of table "SruDbIdMapTable" (8) finishes with error -1206 (0xfffffb4a) after 0 seconds',
    );
  });

  test('a bit that can be corrected is a warning and exit 0', async () => {
    const { path, prefix } = copyOf(CLEAN);
    damage(path, (34 + 1) * 4096 + 1000, 0x10);
    const run = await eseutil(['/g', path, prefix]);
    expect(run.exit).toBe(0);
    expect(run.lines).toContain(`2 warnings, see ${path}.INTEG.RAW`);
    const { warnings } = await eseutilJson(['/g', path, prefix]);
    expect(warnings).toMatchObject([{ name: 'CorrectableChecksum', pgno: 34 }]);
  });

  test('JSON has the fields of the specification, in its order', async () => {
    const { path, prefix } = copyOf(CLEAN);
    const envelope = await eseutilJson<IntegrityReport & { report: string }>(['/g', path, prefix]);
    expect(envelope).toMatchObject({ tool: 'eseutil', mode: 'integrity', file: path, ok: true, exit: 0 });
    const { result } = envelope;
    expect(Object.keys(result)).toEqual([
      'dirty',
      'corrupt',
      'catalogUsed',
      'complete',
      'pages',
      'tables',
      'errors',
      'warnings',
      'lastFullBackup',
      'report',
      'findings',
    ]);
    expect(result).toMatchObject({
      dirty: false,
      corrupt: false,
      catalogUsed: 'primary',
      complete: true,
      errors: 0,
      warnings: 1,
      lastFullBackup: null,
      report: `${path}.INTEG.RAW`,
    });
    expect(result.pages).toEqual({
      total: 190,
      used: 79,
      space: 24,
      empty: 0,
      blank: 86,
      available: 0,
      foreign: 1,
      bad: 0,
    });
    expect(result.tables.find(({ name }) => name === 'SruDbIdMapTable')).toEqual({
      name: 'SruDbIdMapTable',
      objid: 8,
      records: 288,
      longValues: 0,
      indexes: 1,
      errors: 0,
      warnings: 0,
      unverifiable: [],
    });
    expect(result.findings.at(-1)).toMatchObject({ code: 'SIZE_LONG', severity: 'warning' });
  });

  test('a dirty database: without a terminal the check goes on, and says what it means', async () => {
    const { path, prefix } = copyOf(DIRTY);
    const run = await eseutil(['/g', path, prefix]);
    expect(run.exit).toBe(0);
    expect(run.lines).toContain("Run 'Recovery' first to bring the database up-to-date.");
    expect(run.stdout).not.toContain('Abort the check?');
    const { warnings } = await eseutilJson(['/g', path, prefix]);
    expect(warnings).toMatchObject([{ name: 'DirtyDatabase' }]);
  });

  test.each([
    ['OK', 5],
    ['y', 5],
    ['', 0],
    ['Cancel', 0],
    ['what?', 0],
  ])('on a terminal it asks whether to abort; the answer %j ends with exit %i', async (answer, exit) => {
    const { path, prefix } = copyOf(DIRTY);
    const terminal = { stdinIsTerminal: true, stdoutIsTerminal: true };
    const run = await eseutil(['/g', path, prefix], { ...terminal, answers: [answer] });
    expect(run.exit).toBe(exit);
    expect(run.stdout).toContain('Abort the check? (OK/Cancel) ');
    expect(run.stdout.includes('Operation terminated with error -550')).toBe(exit === 5);
    expect(existsSync(`${path}.INTEG.RAW`)).toBe(exit === 0);
  });

  test.each(['/o', '--yes'])('%s goes on without asking', async (option) => {
    const { path, prefix } = copyOf(DIRTY);
    const run = await eseutil(['/g', path, prefix, option], { stdinIsTerminal: true, answers: ['OK'] });
    expect(run.exit).toBe(0);
    expect(run.stdout + run.stderr).not.toContain('Abort the check?');
  });

  test('under --json the question goes to stderr', async () => {
    const { path, prefix } = copyOf(DIRTY);
    const run = await eseutil(['/g', path, prefix, '--json'], { stdinIsTerminal: true, answers: ['OK'] });
    expect(run.exit).toBe(5);
    expect(run.stderr).toContain('Abort the check? (OK/Cancel) ');
    expect(JSON.parse(run.stdout)).toMatchObject({ exit: 5, error: { code: -550 } });
  });

  test('/b leaves the comparison of indexes out', async () => {
    const { path, prefix } = copyOf(CLEAN);
    await eseutil(['/g', path, prefix, '/b']);
    expect(readFileSync(`${path}.INTEG.RAW`, 'utf8')).not.toContain('rebuilding and comparing indexes');
  });

  test('/n writes a line for each table', async () => {
    const { path, prefix } = copyOf(['databases', 'multi.edb']);
    await eseutil(['/g', path, prefix, '/n']);
    const lines = readFileSync(`${path}.INTGINFO.TXT`, 'utf8').split('\n');
    expect(lines[0]).toBe('name,objid,records,longValues,indexes,errors,warnings');
    expect(lines).toContain('multi,8,2,18,0,0,0');
  });

  test('the report lies in the current directory under the name of the database, and is replaced', async () => {
    const { path } = copyOf(['databases', 'basic.edb'], 'named.edb');
    const before = process.cwd();
    process.chdir(folder);
    try {
      await eseutil(['/g', path]);
      const run = await eseutil(['/g', path]);
      expect(run.exit).toBe(0);
      expect(readdirSync(folder).filter((name) => name.startsWith('named.'))).toEqual([
        'named.INTEG.RAW',
        'named.edb',
      ]);
    } finally {
      process.chdir(before);
    }
  });

  test('the database is the same before and after', async () => {
    const { path, prefix } = copyOf(CLEAN);
    const before = readFileSync(path);
    await eseutil(['/g', path, prefix]);
    expect(Buffer.compare(readFileSync(path), before)).toBe(0);
  });

  test.each([
    ['/t', ['-1028', 'JET_errInvalidDatabase'], 3],
    ['/8', ['-1213', 'JET_errPageSizeMismatch'], 2],
  ])('%s that does not fit is refused', async (option, [code, name], exit) => {
    const { path, prefix } = copyOf(['databases', 'basic.edb']);
    const run = await eseutil(['/g', path, prefix, option === '/t' ? `/t${path}` : option]);
    expect(run.exit).toBe(exit);
    expect(run.stdout).toContain(`error ${code} (${name}, `);
    expect(existsSync(`${path}.INTEG.RAW`)).toBe(false);
  });

  test('a file that is no database', async () => {
    const path = join(folder, 'text.edb');
    writeFileSync(path, 'This is no database. '.repeat(1000));
    const run = await eseutil(['/g', path, `/f${path}`]);
    expect(run.exit).toBe(2);
    expect(run.stdout).toContain('error -1206 (JET_errDatabaseCorrupted, ');
  });

  test('a file that does not exist, and none at all', async () => {
    const run = await eseutil(['/g', join(folder, 'nowhere.edb')]);
    expect(run.exit).toBe(3);
    expect(run.stdout).toContain('error -1811 (JET_errFileNotFound, ');
    expect((await eseutil(['/g'])).exit).toBe(1);
  });

  test('streaming files are a thing of the past', async () => {
    const { path, prefix } = copyOf(['databases', 'basic.edb']);
    const run = await eseutil(['/g', path, prefix, '/i']);
    expect(run.exit).toBe(0);
    expect(run.stderr).toContain('streaming file options are ignored: database has no streaming file');
  });

  test('--jsonl streams the findings', async () => {
    const { path, prefix } = copyOf(CLEAN);
    const run = await eseutil(['/g', path, prefix, '--jsonl']);
    const events = run.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; code?: string });
    expect(events.map(({ event, code }) => [event, code]).filter(([event]) => event !== 'progress')).toEqual([
      ['start', undefined],
      ['finding', 'SPACE_LEAK'],
      ['finding', 'SIZE_LONG'],
      ['end', undefined],
    ]);
  });
});
