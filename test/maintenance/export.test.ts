import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { type ExportWarning, exportFileName, exportTable } from '../../src/maintenance/export.js';
import { allCorpusDatabases, corpusJson, corpusPath, describeWithCorpus } from '../corpus.js';

/** Exports one table into memory. */
async function exported(path: string, table: string, format: 'canonical' | 'jsonl' | 'csv') {
  const database = openDatabaseReader(nodeFileSystem, path);
  try {
    const pieces: Buffer[] = [];
    const warnings: ExportWarning[] = [];
    const result = await exportTable(
      database,
      database.table(table),
      format,
      (bytes) => {
        pieces.push(Buffer.from(bytes));
      },
      { onWarning: (warning) => warnings.push(warning) },
    );
    return { text: Buffer.concat(pieces), result, warnings };
  } finally {
    database.close();
  }
}

describeWithCorpus('export of real databases', () => {
  interface Facts {
    rows: { table: string; rows: number; sha256: string }[];
  }

  for (const { name, path, rowsPath, facts: factsPath } of allCorpusDatabases()) {
    const facts = corpusJson<Facts>(...factsPath);

    it(`every row of every table of ${name} equals its facts`, async () => {
      for (const { table, rows, sha256 } of facts.rows) {
        const { text, result, warnings } = await exported(path, table, 'canonical');
        // Two recovery sets lack pages that were never written; their facts hold the rows of the rest.
        for (const warning of warnings) expect(warning.error.name).toBe('JET_errPageNotInitialized');
        const digest = createHash('sha256').update(text).digest('hex');
        if (digest !== sha256) {
          const lines = text.toString('latin1').split('\n');
          const wanted = readFileSync(join(rowsPath, `${table}.jsonl`), 'latin1').split('\n');
          const line = lines.findIndex((found, i) => found !== wanted[i]);
          expect([table, line, lines[line]]).toEqual([table, line, wanted[line]]);
        }
        expect([table, result.rows, digest]).toEqual([table, rows, sha256]);
        expect(result.bytes).toBe(text.length);
      }
    });
  }

  it('a dirty database is exported like a clean one, and its reader warns', async () => {
    const path = corpusPath('databases', 'ual-dirty.mdb');
    const database = openDatabaseReader(nodeFileSystem, path);
    expect(database.warnings.map((warning) => warning.name)).toContain('DirtyDatabase');
    database.close();
    const { warnings } = await exported(path, 'CLIENTS', 'jsonl');
    expect(warnings).toEqual([]);
  });

  it('pages that were never written are reported and passed over', async () => {
    const { warnings } = await exported(
      corpusPath('recovery', 'srum-crash-redo', 'SRUDB.dat'),
      'SruDbIdMapTable',
      'canonical',
    );
    expect(warnings).not.toEqual([]);
    for (const { name, table, error } of warnings) {
      expect([name, table, error.name]).toEqual([
        'DamagedPage',
        'SruDbIdMapTable',
        'JET_errPageNotInitialized',
      ]);
      expect(error.pgno).toBeGreaterThan(0);
    }
  });

  it('jsonl gives columns in catalog order, dates in ISO 8601 and text in UTF-8', async () => {
    const basic = await exported(corpusPath('databases', 'basic.edb'), 'basic', 'jsonl');
    // Column values: the corpus facts; the dates as Windows shows them, by chapter 3.5.
    expect(basic.text.toString().split('\n')[0]).toBe(
      '{"Id":1,"Bit":false,"UnsignedByte":213,"Short":-1337,"Long":-13371337,"Currency":"1337133713371337",' +
        '"IEEESingle":1,"IEEEDouble":13371337.13371337,"DateTime":"1999-03-01T00:00:00.000",' +
        '"UnsignedLong":13371337,"LongLong":"-13371337","GUID":"3f360af1-6766-46dc-9af2-0dacf295c2a1",' +
        '"UnsignedShort":1337}',
    );
  });

  it('csv has a header line, empty fields for NULL, and lists of several values', async () => {
    const multi = await exported(corpusPath('databases', 'multi.edb'), 'multi', 'csv');
    const [header, first] = multi.text.toString().split('\n');
    expect(header?.startsWith('Id,Bit,')).toBe(true);
    expect(first?.startsWith('1,"[false,true]",')).toBe(true);
  });
});

describe('names of exported files', () => {
  it('a table name becomes a file name, with the extension of the format', () => {
    expect(exportFileName('MSysObjects', 'canonical')).toBe('MSysObjects.jsonl');
    expect(exportFileName('{D10CA2FE-6FCF-4F6D-848E-B2E99266FA89}', 'csv')).toBe(
      '{D10CA2FE-6FCF-4F6D-848E-B2E99266FA89}.csv',
    );
  });

  it('no table name leads out of the folder', () => {
    expect(exportFileName('../../etc/passwd', 'jsonl')).toBe('%2E.%2F..%2Fetc%2Fpasswd.jsonl');
    expect(exportFileName('C:\\x\u0000', 'csv')).toBe('C%3A%5Cx%00.csv');
  });
});
