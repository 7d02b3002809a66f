import { copyFileSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { allCorpusDatabases, corpusJson, corpusPath, describeWithCorpus } from '../corpus.js';
import { eseutil, eseutilJson, temporaryFolder } from './run.js';

const folder = temporaryFolder();

interface Position {
  gen: number;
  isec: number;
  ib: number;
}

interface FactSignature {
  computer: string;
  created: string | null;
  random: number;
}

interface Facts {
  header: {
    primary: Record<string, number | string | null | Position | FactSignature> & { dbstateName: string };
  };
}

/** The facts print times as `2021-06-23 11:48:36.198 UTC`. */
function classicTime(fact: unknown): string {
  if (fact === null) return '00/00/1900 00:00:00.000 LOC';
  const [, year, month, day, clock, zone] = /^(\d+)-(\d+)-(\d+) (\S+) (\w+)$/.exec(String(fact)) ?? [];
  return `${month}/${day}/${year} ${clock} ${zone === 'UTC' ? 'UTC' : 'LOC'}`;
}

function classicSignature(fact: unknown): string {
  const { computer, created, random } = fact as FactSignature;
  return `Create time:${classicTime(created).replace(/ \w+$/, '')} Rand:${random} Computer:${computer}`;
}

function classicPosition(fact: unknown): string {
  const { gen, isec, ib } = fact as Position;
  const hex = (n: number) => n.toString(16).toUpperCase();
  return `(0x${hex(gen)},${hex(isec)},${hex(ib)})`;
}

/** Sort versions that the database keeps in a table of its own are not printed. */
function nls(fact: unknown): string {
  const digits = String(fact).slice(2);
  const half = (from: number) => digits.slice(from, from + 8).replace(/^0+/, '');
  return fact === '0xffffffffffffffff' ? '' : ` NLS ${half(0)}.${half(8)}`;
}

const STATES: Readonly<Record<string, string>> = {
  CleanShutdown: 'Clean Shutdown',
  DirtyShutdown: 'Dirty Shutdown',
};

describeWithCorpus('/mh of real databases', () => {
  test.each(allCorpusDatabases())('$name: every line says what the facts say', async (database) => {
    const fact = corpusJson<Facts>(...database.facts).header.primary;
    const run = await eseutil(['-mh', database.path]);
    expect(run.exit).toBe(0);
    const n = (name: string) => Number(fact[name]);
    const dh = (value: number) => `${value} (0x${value.toString(16)})`;
    const range = (low: number, high: number) =>
      `${low}-${high} (0x${low.toString(16)}-0x${high.toString(16)})`;
    expect(run.lines.slice(0, 5)).toEqual([
      '',
      'Extensible Storage Engine Utilities for Microsoft(R) Exchange Server',
      'Version 15.00',
      expect.stringMatching(/^esekit /),
      '',
    ]);
    const checksum = Number(fact.checksum).toString(16);
    expect(run.lines.slice(5, 40)).toEqual([
      'Initiating FILE DUMP mode...',
      `         Database: ${database.path}`,
      '',
      '',
      'DATABASE HEADER:',
      'Checksum Information:',
      `Expected Checksum: 0x${checksum.padStart(8, '0')}`,
      `  Actual Checksum: 0x${checksum.padStart(8, '0')}`,
      '',
      'Fields:',
      '        File Type: Database',
      `         Checksum: 0x${checksum}`,
      '   Format ulMagic: 0x89abcdef',
      '   Engine ulMagic: 0x89abcdef',
      ` Format ulVersion: 0x620,${n('updateMajor')},${n('updateMinor')}  (attached by ${n('efvMaxBinAttachDiagnostic')})`,
      ' Engine ulVersion: 0x620,300,620  (efvCurrent = 9620)',
      `Created ulVersion: 0x620,${n('createUpdate')}`,
      `     DB Signature: ${classicSignature(fact.signDb)}`,
      `         cbDbPage: ${n('pageSize')}`,
      `           dbtime: ${dh(n('dbtimeDirtied'))}`,
      `            State: ${STATES[fact.dbstateName]}`,
      `     Log Required: ${range(n('lGenMinRequired'), n('lGenMaxRequired'))} [Min. Req. Pre-Redo: ${dh(n('lGenPreRedoMinRequired'))}]`,
      `Gen. Max. Req. Creation Time: ${classicTime(fact.logtimeGenMaxRequired)}`,
      `    Log Committed: ${range(0, n('lGenMaxCommitted'))}`,
      `Gen. Max. Com. Creation Time: ${classicTime(fact.logtimeGenMaxCreate)}`,
      `   Log Consistent: ${dh(n('lGenMinConsistent'))} [Pre-Redo: ${dh(n('lGenPreRedoMinConsistent'))}]`,
      `   Log Recovering: ${dh(n('lGenRecovering'))}`,
      `         Shadowed: ${fact.dbFlags === '0x00000000' ? 'Yes' : 'No'}`,
      `       Last Objid: ${n('objidLast')}`,
      `     Scrub Dbtime: ${dh(n('dbtimeLastScrub'))}`,
      `       Scrub Date: ${classicTime(fact.logtimeScrub)}`,
      `     Repair Count: ${n('repairCount')}`,
      `      Repair Date: ${classicTime(fact.logtimeRepair)}`,
      ` Old Repair Count: ${n('repairCountOld')}`,
      `  Last Consistent: ${classicPosition(fact.lgposConsistent)}  ${classicTime(fact.logtimeConsistent)}`,
    ]);
    expect(run.lines.slice(40, 46)).toEqual([
      `      Last Attach: ${classicPosition(fact.lgposAttach)}  ${classicTime(fact.logtimeAttach)}`,
      `      Last Detach: ${classicPosition(fact.lgposDetach)}  ${classicTime(fact.logtimeDetach)}`,
      `    Last ReAttach: ${classicPosition(fact.lgposLastReAttach)}  ${classicTime(fact.logtimeLastReAttach)}`,
      `             Dbid: ${n('dbid')}`,
      `    Log Signature: ${classicSignature(fact.signLog)}`,
      `       OS Version: (${n('osMajor')}.${n('osMinor')}.${n('osBuild')} SP ${n('osServicePack')}${nls(fact.sortVersion)})`,
    ]);
    expect(run.stdout).toMatch(/\nOperation completed successfully in \d+\.\d+ seconds\.\n\n$/);
    expect(run.stderr).toBe('');
  });

  test('the dirty database names its required logs in JSON too', async () => {
    const document = await eseutilJson<{ header: Record<string, unknown>; copies: unknown; source: string }>([
      '-mh',
      corpusPath('databases', 'ual-dirty.mdb'),
    ]);
    expect(document).toMatchObject({
      tool: 'eseutil',
      mode: 'dumpHeader',
      file: corpusPath('databases', 'ual-dirty.mdb'),
      ok: true,
      exit: 0,
      warnings: [],
      result: {
        source: 'primary',
        identical: true,
        copies: [
          {
            which: 'primary',
            ok: true,
            allZero: false,
            checksumStored: 0xa68ca7ea,
            checksumComputed: 0xa68ca7ea,
          },
          {
            which: 'shadow',
            ok: true,
            allZero: false,
            checksumStored: 0xa68ca7ea,
            checksumComputed: 0xa68ca7ea,
          },
        ],
        header: {
          fileType: 'database',
          magic: 0x89abcdef,
          formatVersion: { version: 0x620, updateMajor: 20, updateMinor: 0 },
          createdVersion: { version: 0x620, updateMajor: 20 },
          signDb: { random: 3861959543, time: '2021-06-05T11:49:23.365Z', computer: '' },
          pageSize: 4096,
          dbtime: '64195',
          state: 'Dirty Shutdown',
          stateCode: 2,
          logRequired: { low: 124, high: 124 },
          logCommitted: { low: 0, high: 124 },
          timeMaxCommitted: '2021-06-23T10:59:35.998Z',
          lastAttach: { lgpos: '0000007C,04DE,0000', time: '2021-06-23T11:48:36.198Z' },
          lastDetach: { lgpos: '00000000,0000,0000', time: null },
          backups: {
            fullPrev: {
              range: { low: 0, high: 0 },
              lgpos: '00000000,0000,0000',
              time: null,
              snapshot: false,
            },
          },
          eccFixSuccess: { count: 0, time: null, countOld: 0 },
        },
      },
    });
    expect(document).not.toHaveProperty('error');
    expect(document.result.header).not.toHaveProperty('lastResize');
    expect(Number.isInteger(document.elapsedMs)).toBe(true);
  });

  test('a damaged primary header: the shadow is printed, and both text and JSON say so', async () => {
    const file = copyWithByte('ual-dirty.mdb', 100, 0xff);
    const run = await eseutil(['-mh', file]);
    expect(run.exit).toBe(0);
    expect(run.lines).toContain('DATABASE SHADOW HEADER:');
    expect(run.lines).not.toContain('DATABASE HEADER:');
    expect(run.lines).toContain('            State: Dirty Shutdown');
    const at = run.lines.indexOf('WARNING: primary header and shadow header are not identical.');
    expect(run.lines[at + 1]).toBe('WARNING: primary header has a checksum error.');
    const document = await eseutilJson(['-mh', file]);
    expect(document.warnings).toMatchObject([{ code: null, name: 'HeaderFromShadow' }]);
    expect(document.result).toMatchObject({ source: 'shadow', identical: false });
  });

  test('a damaged shadow is a warning behind a good primary', async () => {
    const file = copyWithByte('ual-dirty.mdb', 4096 + 100, 0xff);
    const run = await eseutil(['-mh', file]);
    expect(run.exit).toBe(0);
    expect(run.lines).toContain('DATABASE HEADER:');
    expect(run.lines).toContain('WARNING: shadow header has a checksum error.');
    expect((await eseutilJson(['-mh', file])).warnings).toMatchObject([{ name: 'HeaderCopiesDiffer' }]);
  });

  test('both copies damaged: -1206, exit 2; /v prints the raw fields', async () => {
    const file = copyWithByte('ual-dirty.mdb', 100, 0xff);
    patch(file, 4096 + 100, 0xff);
    const run = await eseutil(['-mh', file]);
    expect(run.exit).toBe(2);
    expect(run.stdout).toContain('Operation terminated with error -1206 (JET_errDatabaseCorrupted, ');
    expect(run.lines).not.toContain('DATABASE HEADER:');
    expect(run.lines).toContain('WARNING: primary header has a checksum error.');
    expect(run.lines).toContain('WARNING: shadow header has a checksum error.');
    const verbose = await eseutil(['-mh', file, '-v']);
    expect(verbose.exit).toBe(2);
    expect(verbose.lines).toContain('            State: Dirty Shutdown');
    const document = await eseutilJson(['-mh', file]);
    expect(document).toMatchObject({
      ok: false,
      exit: 2,
      error: { code: -1206, name: 'JET_errDatabaseCorrupted', file },
      result: { source: 'none' },
    });
  });

  test('a forced page size that is not that of the file: -1213, exit 2', async () => {
    const file = corpusPath('databases', 'large.edb');
    expect((await eseutil(['-mh', file, '-32'])).exit).toBe(0);
    const run = await eseutil(['-mh', file, '-8']);
    expect(run.exit).toBe(2);
    expect(run.stdout).toContain('error -1213 (JET_errPageSizeMismatch, ');
  });

  function copyWithByte(name: string, offset: number, value: number): string {
    const file = join(folder, `${name}-${offset}`);
    copyFileSync(corpusPath('databases', name), file);
    patch(file, offset, value);
    return file;
  }

  function patch(file: string, offset: number, value: number): void {
    writeSync(openSync(file, 'r+'), Uint8Array.of(value), 0, 1, offset);
  }
});

describeWithCorpus('a file that ends within its shadow header', () => {
  test('says so, and has a good primary one', async () => {
    const file = join(folder, 'cut.edb');
    writeFileSync(file, readFileSync(corpusPath('databases', 'test.edb')).subarray(0, 6000));
    const run = await eseutil(['-mh', file]);
    expect(run.exit).toBe(0);
    const from = run.lines.indexOf('WARNING: primary header and shadow header are not identical.');
    expect(run.lines.slice(from, from + 4)).toEqual([
      'WARNING: primary header and shadow header are not identical.',
      'WARNING: shadow header has a checksum error.',
      'WARNING: shadow header has an unexpected size of 1904 bytes.',
      '',
    ]);
  });
});

describe('files that are no databases: one line with the JET error, the exit code, and nothing written', () => {
  const text = join(folder, 'notes.txt');
  const empty = join(folder, 'empty.edb');
  const short = join(folder, 'short.edb');
  writeFileSync(text, 'Dear diary,\n'.repeat(2000));
  writeFileSync(empty, '');
  writeFileSync(short, new Uint8Array(700));

  test.each([
    ['a missing file', join(folder, 'missing.edb'), -1811, 'JET_errFileNotFound', 3],
    ['a directory', folder, -1023, 'JET_errInvalidPath', 3],
    ['an empty file', empty, -1206, 'JET_errDatabaseCorrupted', 2],
    ['a truncated file', short, -1206, 'JET_errDatabaseCorrupted', 2],
    ['a text file', text, -1206, 'JET_errDatabaseCorrupted', 2],
    ['a Windows path', 'D:\\mdb\\priv1.edb', -1023, 'JET_errInvalidPath', 3],
  ])('%s', async (_, file, code, name, exit) => {
    const run = await eseutil(['-mh', file]);
    expect(run.exit).toBe(exit);
    const errors = run.lines.filter((line) => line.includes('error '));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(
      new RegExp(`^Operation terminated with error ${code} \\(${name}, .+\\) after \\d+\\.\\d+ seconds\\.$`),
    );
    expect(run.stdout + run.stderr).not.toMatch(/\n {4}at /);
    expect(await eseutilJson(['-mh', file])).toMatchObject({ ok: false, exit, error: { code, name }, file });
  });

  test('their bytes are left alone', () => {
    expect(readFileSync(text, 'utf8').startsWith('Dear diary')).toBe(true);
    expect(readFileSync(empty)).toHaveLength(0);
  });
});
