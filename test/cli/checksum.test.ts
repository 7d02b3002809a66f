import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { allCorpusDatabases, corpusJson, corpusPath, describeWithCorpus } from '../corpus.js';
import { eseutil, eseutilJson, temporaryFolder } from './run.js';

const folder = temporaryFolder();

interface Facts {
  readonly bytes: number;
  readonly check: {
    readonly counts: {
      readonly zero: number;
      readonly badChecksum: readonly unknown[];
      readonly correctable: readonly unknown[];
      readonly pages: number;
    };
    readonly dbtimeMaxOnPages?: number;
    readonly header: { readonly pageSize: number };
  };
}

/** Some facts count differently where the file is longer than what it owns. */
const plain = allCorpusDatabases().filter((database) => !database.name.includes('crash'));

describeWithCorpus('/k of real databases', () => {
  test.each(plain)('$name: nothing is damaged, and every page is seen', async (database) => {
    const facts = corpusJson<Facts>(...database.facts);
    const run = await eseutil(['-k', database.path]);
    expect(run.exit).toBe(0);
    expect(run.stderr).toBe('');
    const pages = Math.floor(facts.bytes / facts.check.header.pageSize);
    expect(run.lines.slice(5, 11)).toEqual([
      'Initiating CHECKSUM mode...',
      `        Database: ${database.path}`,
      '  Temp. Database: TEMPCHKSUM4711.EDB',
      '',
      '',
      `File: ${database.path.slice(-64)}`,
    ]);
    const at = run.lines.indexOf(`${pages} pages seen`);
    expect(run.lines.slice(at - 2, at + 4)).toEqual([
      '',
      '',
      `${pages} pages seen`,
      '0 bad checksums',
      '0 correctable checksums',
      expect.stringMatching(/^\d+ uninitialized pages$/),
    ]);
    expect(run.lines[at + 4]).toBe('0 wrong page numbers');
    expect(run.lines[at + 5]).toMatch(/^0x[0-9a-f]+ highest dbtime \(pgno 0x[0-9a-f]+\)$/);
  });

  test('JSON of a healthy file, the same for any number of workers', async () => {
    const facts = corpusJson<Facts>('databases', 'large.edb.facts.json');
    const file = corpusPath('databases', 'large.edb');
    const one = await eseutilJson<Record<string, unknown>>(['-k', file, '--workers', '1']);
    expect(one).toMatchObject({
      mode: 'checksum',
      ok: true,
      exit: 0,
      result: {
        fileType: 'database',
        pages: {
          total: facts.check.counts.pages,
          seen: facts.check.counts.pages + 2,
          badChecksums: 0,
          correctable: 0,
          uninitialized: facts.check.counts.zero,
          wrongPgno: 0,
          highestDbtime: String(facts.check.dbtimeMaxOnPages ?? 196235),
        },
        findings: [],
      },
    });
    const two = await eseutilJson<Record<string, unknown>>(['-k', file, '--workers=2']);
    expect(two.result).toEqual(one.result);
  });

  test('damage goes to stderr page by page, and ends with -1206, exit 2', async () => {
    const file = join(folder, 'damaged.edb');
    const bytes = readFileSync(corpusPath('databases', 'test.edb'));
    const flip = (pgno: number, at: number, mask: number) => {
      const offset = (pgno + 1) * 4096 + at;
      bytes[offset] = (bytes[offset] ?? 0) ^ mask;
    };
    flip(-1, 100, 0xff);
    flip(4, 1000, 0x07);
    flip(13, 1000, 0x04);
    bytes.copyWithin(6 * 4096, 8 * 4096, 9 * 4096);
    writeFileSync(file, bytes);
    const run = await eseutil(['-k', file]);
    expect(run.exit).toBe(2);
    expect(run.stderr.trimEnd().split('\n')).toEqual([
      'ERROR: page -1 (header) checksum failed',
      'ERROR: page 4 checksum failed',
      'ERROR: page 5 checksum failed',
      'WARNING: page 13 checksum verification failed but the corruption ( bit 8002 ) can be corrected',
    ]);
    expect(run.lines).toContain('2 bad checksums');
    expect(run.lines).toContain('1 correctable checksums');
    expect(run.lines).toContain('1 wrong page numbers');
    expect(run.stdout).toMatch(
      /\n\n\nOperation terminated with error -1206 \(JET_errDatabaseCorrupted, .*\n/,
    );
    const document = await eseutilJson<{ findings: { code: string; pgno: number }[] }>(['-k', file]);
    expect(document).toMatchObject({
      ok: false,
      exit: 2,
      error: { code: -1206 },
      warnings: [{ name: 'CorrectableChecksum', pgno: 13 }],
    });
    expect(document.result.findings.map(({ code, pgno }) => `${pgno} ${code}`)).toEqual([
      '-1 HDR_PRIMARY_BAD',
      '4 PAGE_BAD_CHECKSUM',
      '5 PAGE_WRONG_PGNO',
      '13 PAGE_ECC_FIXED',
    ]);
  });

  test('a correctable bit alone is success with a warning', async () => {
    const file = join(folder, 'bit.edb');
    const bytes = readFileSync(corpusPath('databases', 'test.edb'));
    const at = 14 * 4096 + 1000;
    bytes[at] = (bytes[at] ?? 0) ^ 0x04;
    writeFileSync(file, bytes);
    const run = await eseutil(['-k', file]);
    expect(run.exit).toBe(0);
    expect(run.stderr).toBe(
      'WARNING: page 13 checksum verification failed but the corruption ( bit 8002 ) can be corrected\n',
    );
  });

  test('a file that ends within a page is damaged', async () => {
    const file = join(folder, 'torn.edb');
    writeFileSync(file, readFileSync(corpusPath('databases', 'test.edb')).subarray(0, 100 * 4096 + 77));
    const run = await eseutil(['-k', file]);
    expect(run.exit).toBe(2);
    expect(run.stdout).toContain('error -1206 (JET_errDatabaseCorrupted, ');
  });

  test('the bar: 51 dots on a terminal, none into a pipe, always where asked for', async () => {
    const file = corpusPath('databases', 'test.edb');
    const scale = [
      '                     Checksum Status (% complete)',
      '',
      '          0    10   20   30   40   50   60   70   80   90  100',
      '          |----|----|----|----|----|----|----|----|----|----|',
      `          ${'.'.repeat(51)}`,
    ].join('\n');
    expect((await eseutil(['-k', file])).stdout).not.toContain('% complete');
    expect((await eseutil(['-k', file], { stdoutIsTerminal: true })).stdout).toContain(scale);
    expect((await eseutil(['-k', file, '--progress=always'])).stdout).toContain(scale);
    expect((await eseutil(['-k', file], { stderrIsTerminal: true })).stderr).toContain(scale);
    const quiet = await eseutil(['-k', file, '--progress=never'], { stdoutIsTerminal: true });
    expect(quiet.stdout).not.toContain('% complete');
    const json = await eseutil(['-k', file, '--json'], { stdoutIsTerminal: true, stderrIsTerminal: true });
    expect(JSON.parse(json.stdout)).toMatchObject({ exit: 0 });
    expect(json.stderr).toContain(scale);
  });

  test('--max-mbps slows the run down, and changes nothing else', async () => {
    const file = corpusPath('databases', 'large.edb');
    const { result, elapsedMs } = await eseutilJson(['-k', file, '--max-mbps', '40']);
    expect(result).toEqual((await eseutilJson(['-k', file])).result);
    // 24 MiB at 40 MiB a second; the last range is not waited for.
    expect(elapsedMs).toBeGreaterThan(500);
  });

  test('a temporary database that is the source is refused', async () => {
    const file = corpusPath('databases', 'test.edb');
    const run = await eseutil(['-k', file, '-t', file.replace('databases/', 'databases/../databases/')]);
    expect(run.exit).toBe(3);
    expect(run.stdout).toContain(
      'error -1028 (JET_errInvalidDatabase, the temporary database is the source: ',
    );
  });

  test('a text says that it is no database, and that damage needs a page size', async () => {
    const file = join(folder, 'notes.txt');
    writeFileSync(file, 'Dear diary,\n'.repeat(2000));
    expect(await eseutilJson(['-k', file])).toMatchObject({
      exit: 2,
      error: {
        code: -1206,
        message: 'the file has no database header; the pages of a damaged database need a page size',
      },
    });
  });

  test('a log, a checkpoint and a flush map are recognised by their contents', async () => {
    const set = (name: string, as: string) => {
      const file = join(folder, as);
      copyFileSync(name, file);
      return file;
    };
    const log = set(corpusPath('logs', 'secedit', 'edb.log'), 'a.bin');
    const run = await eseutil(['-k', log]);
    expect(run.lines.slice(5, 9)).toEqual([
      'Initiating CHECKSUM mode...',
      `      Log File: ${log}`,
      '',
      `Integrity check passed for log file: ${log}`,
    ]);
    expect((await eseutilJson(['-k', log])).result).toMatchObject({ fileType: 'log', findings: [] });
    const chk = set(corpusPath('recovery', 'srum-clean', 'SRU.chk'), 'b.bin');
    expect((await eseutil(['-k', chk])).lines[6]).toBe(` Checkpoint File: ${chk}`);
    expect((await eseutilJson(['-k', chk])).result).toMatchObject({ fileType: 'checkpoint', findings: [] });
    const jfm = set(corpusPath('databases', 'secedit.jfm'), 'c.bin');
    expect((await eseutil(['-k', jfm])).lines[6]).toBe(`      Flush Map File: ${jfm}`);
    expect((await eseutilJson(['-k', jfm])).result).toMatchObject({ fileType: 'flushMap', findings: [] });
  });
});
