import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  DATABASE_STATE,
  decodeDatabaseHeader,
  electHeader,
  HEADER_ELECTION_BYTES,
  HEADER_MAGIC,
  writeHeaderFields,
} from '../../src/format/database-header.js';
import type { Lgpos } from '../../src/format/ese-error.js';
import type { Logtime } from '../../src/format/logtime.js';
import type { Signature } from '../../src/format/signature.js';
import { allCorpusDatabases, corpusJson, describeWithCorpus } from '../corpus.js';

function plainHeader(pageSize: number, filler = 0): Uint8Array {
  const page = new Uint8Array(pageSize);
  writeHeaderFields(page, {
    magic: HEADER_MAGIC,
    version: 0x620,
    updateMajor: 20,
    cbPageSize: pageSize,
    state: DATABASE_STATE.cleanShutdown,
    fileType: 1,
    objidLast: filler,
  });
  return page;
}

function file(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

describe('electing a header', () => {
  it.each([4096, 8192, 16384, 32768])('finds a page size of %i bytes', (pageSize) => {
    const page = plainHeader(pageSize);
    const election = electHeader(file(page, page));
    expect(election).toMatchObject({ source: 'primary', pageSize, identical: true });
    expect(election.header?.state).toBe(3);
  });

  it('takes the primary when the shadow is stale', () => {
    const election = electHeader(file(plainHeader(4096, 7), plainHeader(4096, 6)));
    expect(election).toMatchObject({ source: 'primary', identical: false });
    expect(election.header?.objidLast).toBe(7);
  });

  it('takes the shadow when the primary is damaged, at every page size', () => {
    for (const pageSize of [4096, 8192, 16384, 32768]) {
      const damaged = plainHeader(pageSize, 7);
      damaged[20] = 1;
      const election = electHeader(file(damaged, plainHeader(pageSize, 6)));
      expect(election).toMatchObject({ source: 'shadow', pageSize });
      expect(election.header?.objidLast).toBe(6);
      expect(election.primary.ok).toBe(false);
    }
  });

  it('takes the shadow of a blank primary, at every page size', () => {
    for (const pageSize of [2048, 4096, 8192, 16384, 32768]) {
      const shadow = plainHeader(pageSize, 6);
      const election = electHeader(file(new Uint8Array(pageSize), shadow, new Uint8Array(4 * pageSize)));
      expect(election).toMatchObject({ source: 'shadow', pageSize });
      expect(election.header?.objidLast).toBe(6);
    }
  });

  it('trusts neither when both are damaged, and still shows what is there', () => {
    const damaged = plainHeader(8192, 7);
    damaged[20] = 1;
    const election = electHeader(file(damaged, damaged));
    expect(election).toMatchObject({ source: 'none', pageSize: 8192 });
    expect(election.header?.objidLast).toBe(7);
  });

  it('finds nothing in an empty file, a short one, or text', () => {
    for (const bytes of [new Uint8Array(0), new Uint8Array(100), Buffer.from('x'.repeat(9000))]) {
      expect(electHeader(bytes)).toMatchObject({ source: 'none', header: undefined });
    }
  });

  it('refuses to decode fewer bytes than a header has', () => {
    expect(() => decodeDatabaseHeader(new Uint8Array(747))).toThrow(/shorter than a database header/);
  });
});

describeWithCorpus('headers of real databases', () => {
  interface Facts {
    header: { elected: { pageSize: number; status: string }; primary: Record<string, unknown> };
  }
  /** Where the facts name a field otherwise than the header layout does. */
  const RENAMED: Readonly<Record<string, string>> = {
    dbstate: 'state',
    lGenMinRequired: 'genMinRequired',
    lGenMaxRequired: 'genMaxRequired',
    lGenMaxCommitted: 'genMaxCommitted',
    lGenMinConsistent: 'genMinConsistent',
    lGenRecovering: 'genRecovering',
    lGenPreRedoMinConsistent: 'genPreRedoMinConsistent',
    lGenPreRedoMinRequired: 'genPreRedoMinRequired',
    osMajor: 'osMajorVersion',
    osMinor: 'osMinorVersion',
    osBuild: 'osBuildNumber',
    pageSize: 'cbPageSize',
    signRBSHdrFlush: 'signRbsHdrFlush',
    signSLV_obsolete: 'signSlv',
    efvMaxBinAttachDiagnostic: 'efvMaxBinAttached',
    logtimeGenMaxCreate: 'logtimeGenMaxCommitted',
  };
  const NOT_FIELDS = new Set(['dbstateName', 'fileTypeName', 'reserved', 'reserved2', 'tailNonZero']);

  const time = (t: Logtime | undefined): string | null => {
    if (t === undefined) return null;
    const two = (n: number, digits = 2): string => String(n).padStart(digits, '0');
    const date = `${t.year}-${two(t.month)}-${two(t.day)}`;
    const clock = `${two(t.hours)}:${two(t.minutes)}:${two(t.seconds)}.${two(t.milliseconds, 3)}`;
    return `${date} ${clock} ${t.utc ? 'UTC' : 'local'}`;
  };
  const lgpos = (p: Lgpos) => ({ gen: p.generation, isec: p.isec, ib: p.ib });
  /** The facts note unused bits of a time (`f2=…`), which readers ignore (chapter 1.2.1). */
  const withoutUnusedBits = (fact: unknown): unknown =>
    JSON.parse(JSON.stringify(fact).replace(/ f2=[0-9a-f]+"/g, '"'));
  const inFactsForm = (value: unknown, fact: unknown): unknown => {
    if (typeof fact === 'string' && fact.startsWith('0x')) {
      const digits = fact.length - 2;
      return `0x${(value as number | bigint).toString(16).padStart(digits, '0')}`;
    }
    if (typeof value !== 'object' || value === null) return value === undefined ? null : value;
    if ('mark' in value) {
      const backup = value as { mark: Lgpos; time: Logtime | undefined; genLow: number; genHigh: number };
      const { genLow, genHigh } = backup;
      return { genHigh, genLow, lgposMark: lgpos(backup.mark), logtimeMark: time(backup.time) };
    }
    if ('random' in value) {
      const { computer, created, random } = value as Signature;
      return { computer, created: time(created), random };
    }
    return 'generation' in value ? lgpos(value as Lgpos) : time(value as Logtime);
  };

  for (const { name, path, facts: factsPath } of allCorpusDatabases()) {
    it(`every field of ${name} equals its facts`, () => {
      const { elected, primary } = corpusJson<Facts>(...factsPath).header;
      const election = electHeader(readFileSync(path).subarray(0, HEADER_ELECTION_BYTES));
      expect(election).toMatchObject({ source: 'primary', pageSize: elected.pageSize, identical: true });
      const header = election.header as unknown as Record<string, unknown>;
      const compared: string[] = [];
      for (const [factName, fact] of Object.entries(primary)) {
        if (NOT_FIELDS.has(factName)) continue;
        const field = RENAMED[factName] ?? factName;
        expect(header, factName).toHaveProperty(field);
        expect([factName, inFactsForm(header[field], fact)]).toEqual([factName, withoutUnusedBits(fact)]);
        compared.push(field);
      }
      expect(new Set(compared).size).toBe(Object.keys(header).length);
    });
  }
});
