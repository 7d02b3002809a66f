import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { corpusJson, corpusPath, describeWithCorpus } from '../corpus.js';
import { eseutil, eseutilJson, temporaryFolder } from './run.js';

const folder = temporaryFolder();
const testEdb = corpusPath('databases', 'test.edb');
const largeEdb = corpusPath('databases', 'large.edb');
const uamDirty = corpusPath('databases', 'ual-dirty.mdb');

interface IndexFact {
  readonly name: string;
  readonly objid: number;
  readonly pgnoFDP: number;
  readonly flags: number;
  readonly density: number;
}

interface ColumnFact {
  readonly name: string;
  readonly id: number;
  readonly coltyp: number;
  readonly max: number;
  readonly cp: number;
  readonly flags: number;
  readonly recoff: number | null;
  readonly DefaultValue?: string;
}

interface TableFact {
  readonly name: string;
  readonly objid: number;
  readonly pgnoFDP: number;
  readonly flags: number;
  readonly density: number;
  readonly pages: number;
  readonly columns: readonly ColumnFact[];
  readonly columnCount?: number;
  readonly indexes: readonly IndexFact[];
  readonly lv: { readonly objid: number; readonly pgnoFDP: number } | null;
}

interface Facts {
  readonly catalog: Readonly<Record<string, TableFact>>;
  readonly space: {
    readonly trees: readonly { objid: number; root: number; owned: number; avail: number }[];
  };
  readonly trees: {
    readonly trees: readonly { root: number; flags: string; objid: number; nodes: number }[];
  };
}

const PRIMARY = 0x20;

/** Order of the tables and indexes in every dump: by name, without regard to case. */
function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name.toUpperCase() < b.name.toUpperCase() ? -1 : 1;
}

describeWithCorpus('/mm', () => {
  test.each(['test.edb', 'ual-dirty.mdb', 'srum.dat'])(
    '%s: one row for each tree of the facts',
    async (name) => {
      const { catalog } = corpusJson<Facts>('databases', `${name}.facts.json`);
      const run = await eseutil(['-mm', corpusPath('databases', name)]);
      expect(run.exit).toBe(0);
      const row = (label: string, type: string, objid: number, pgno: number) =>
        `${label.padEnd(51)}${type.padEnd(4)}${String(objid).padStart(11)}${String(pgno).padStart(11)}`;
      const expected = Object.values(catalog)
        .sort(byName)
        .flatMap((table) => [
          row(table.name, 'Tbl', table.objid, table.pgnoFDP),
          ...(table.lv === null ? [] : [row('  <Long Values>', 'LV', table.lv.objid, table.lv.pgnoFDP)]),
          ...[...table.indexes]
            .sort((a, b) => (b.flags & PRIMARY) - (a.flags & PRIMARY) || byName(a, b))
            .map((index) =>
              row(
                `  ${index.name}`,
                (index.flags & PRIMARY) !== 0 ? 'Pri' : 'Idx',
                index.objid,
                index.pgnoFDP,
              ),
            ),
        ]);
      expect(run.lines[5]).toBe('Initiating FILE DUMP mode...');
      expect(run.lines[8]).toMatch(/^\*{32} META-DATA DUMP \*+$/);
      expect(run.lines[9]).toMatch(/^Name {47}Type +ObjidFDP +PgnoFDP {2}PgnoFDPLastSetTime$/);
      expect(run.lines.slice(11, 13 + expected.length)).toEqual([row(name, 'Db', 1, 1), '', ...expected]);
    },
  );

  test('/v shows columns and indexes of one table', async () => {
    const run = await eseutil(['-mm', testEdb, '-v', '-tTestTable']);
    const at = run.lines.findIndex((line) => line.startsWith('TestTable'));
    expect(run.lines.slice(at, at + 3)).toEqual([
      `${'TestTable'.padEnd(51)}       31         8        36         9         0      80%`,
      '    LV ChunkSize=4014',
      '    Flags=0x00000000',
    ]);
    const autoInc = run.lines.findIndex((line) => line.startsWith('  AutoInc '));
    expect(run.lines.slice(autoInc, autoInc + 4)).toEqual([
      `  ${'AutoInc'.padEnd(49)}        1  ${'Long'.padEnd(18)}     4  no`,
      '    Offset=4 (0x4)',
      '    Auto-increment=yes',
      '    Flags=0x4',
    ]);
    const none = await eseutil(['-mm', testEdb, '-tNoSuchTable']);
    expect(none.exit).toBe(3);
    expect(none.stdout).toContain('error -1305 (JET_errObjectNotFound, ');
  });

  test.each(['default.edb', 'index.edb', 'ual-clean.mdb'])(
    '%s: JSON gives every column and index of the facts',
    async (name) => {
      const { catalog } = corpusJson<Facts>('databases', `${name}.facts.json`);
      const { result, mode } = await eseutilJson<{ tables: Record<string, unknown>[] }>([
        '-mm',
        corpusPath('databases', name),
      ]);
      expect(mode).toBe('dumpMetadata');
      expect(result.tables.map((table) => table.name)).toEqual(
        Object.values(catalog)
          .sort(byName)
          .map((table) => table.name),
      );
      for (const fact of Object.values(catalog)) {
        const isCatalog = fact.name.startsWith('MSysObjects');
        expect(result.tables.find((table) => table.name === fact.name)).toMatchObject({
          objid: fact.objid,
          pgnoFdp: fact.pgnoFDP,
          pages: fact.pages,
          density: fact.density,
          flags: fact.flags,
          columns: fact.columns.map((column) => ({
            name: column.name,
            id: column.id,
            length: column.max,
            codePage: column.cp,
            flags: column.flags,
            // The catalog's rows about itself are known to give wrong offsets.
            ...(column.recoff === null || isCatalog ? {} : { offset: column.recoff }),
            ...(column.DefaultValue === undefined ? {} : { default: column.DefaultValue }),
            multiValued: (column.flags & 8) !== 0,
            autoIncrement: (column.flags & 4) !== 0,
            deleted: column.coltyp === 0,
          })),
          indexes: [...fact.indexes]
            .sort((a, b) => (b.flags & PRIMARY) - (a.flags & PRIMARY) || byName(a, b))
            .map((index) => ({
              name: index.name,
              objid: index.objid,
              pgnoFdp: index.pgnoFDP,
              flags: index.flags,
              density: index.density,
              primary: (index.flags & PRIMARY) !== 0,
            })),
        });
      }
    },
  );

  test('the segments of an index are named by their columns', async () => {
    const { result } = await eseutilJson<{ tables: { name: string; indexes: object[] }[] }>([
      '-mm',
      uamDirty,
    ]);
    const clients = result.tables.find((table) => table.name === 'CLIENTS');
    expect(clients?.indexes[0]).toMatchObject({
      name: 'Address_RoleGuid_TenantId_index',
      segments: [
        { column: 'Address', descending: false },
        { column: 'RoleGuid', descending: false },
        { column: 'TenantId', descending: false },
      ],
      conditional: [],
      localeName: 'en-US',
      lcMapFlags: 197633,
    });
  });
});

describeWithCorpus('/ms', () => {
  test('the legacy fields have the columns of the classic table', async () => {
    const run = await eseutil(['-ms', testEdb, '-f#legacy']);
    expect(run.exit).toBe(0);
    expect(run.lines.slice(8, 21)).toEqual([
      '******************************** SPACE DUMP ***********************************',
      'Name                   Type   ObjidFDP    PgnoFDP  PriExt      Owned  Available',
      '===============================================================================',
      'test.edb                Db           1          1   254-m        254        194',
      '  MSysLocales           Tbl          7         30     1-s          1          0',
      '  MSysObjects           Tbl          2          4    20-m         20          5',
      '    Name                Idx          4          7     0-m          7          3',
      '    RootObjects         Idx          5         10     3-m          3          0',
      '  MSysObjectsShadow     Tbl          3         24     5-m          5          0',
      '  MSysObjids            Tbl          6         29     1-s          1          0',
      '  TestTable             Tbl          8         31     1-m         30          2',
      '    <Long Values>       LV           9         36     0-m         25          5',
      '-------------------------------------------------------------------------------',
    ]);
    expect(run.lines[21]).toBe('209'.padStart(79));
  });

  test('the legacy values are those of the facts', async () => {
    const { space } = corpusJson<Facts>('databases', 'test.edb.facts.json');
    const { result } = await eseutilJson<{ trees: { objid: number }[]; availablePages: number }>([
      '-ms',
      testEdb,
    ]);
    for (const fact of space.trees) {
      expect(result.trees.find((tree) => tree.objid === fact.objid)).toMatchObject({
        pgnoFdp: fact.root,
        ownedPages: fact.owned,
        availablePages: fact.avail,
      });
    }
  });

  test('the default view leaves out trees below half a per cent, /v shows them', async () => {
    const rows = (run: { lines: readonly string[] }) =>
      run.lines.filter((line) => / (?:Db|Tbl|Idx|LV) /.test(line));
    const brief = rows(await eseutil(['-ms', uamDirty]));
    const all = rows(await eseutil(['-ms', uamDirty, '-v']));
    expect(brief.some((row) => row.includes('MSysObjids'))).toBe(false);
    expect(all.some((row) => row.includes('MSysObjids'))).toBe(true);
    expect(brief.length).toBeLessThan(all.length);
  });

  test('/csv, chosen fields, one table', async () => {
    const run = await eseutil(['-ms', testEdb, '-csv', '-fName,Type,Owned,PgnoOE', '-tTestTable', '-o']);
    expect(run.lines).toEqual([
      '',
      'Initiating FILE DUMP mode...',
      'Name,Type,Owned,PgnoOE',
      'TestTable,Tbl,30,32',
      '<Long Values>,LV,25,37',
      '',
      expect.stringMatching(/^Operation completed successfully/),
      '',
      '',
    ]);
  });

  test('/d2 lists the extents of the space trees, /l finds nothing leaked', async () => {
    const detail = await eseutil(['-ms', testEdb, '-d2', '-tTestTable', '-f#legacy']);
    const at = detail.lines.findIndex((line) => line.includes('<Owned Extents>'));
    expect(detail.lines.slice(at + 1, at + 3)).toEqual(['        31-31 (1)', '        32-35 (4)']);
    const leaks = await eseutil(['-ms', testEdb, '-l']);
    expect(leaks.lines).toContain('    Leaked pages: 0');
    expect((await eseutilJson(['-ms', testEdb, '-l'])).result).toMatchObject({ leaked: 0 });
  });

  test('an unknown field is a usage error', async () => {
    const run = await eseutil(['-ms', testEdb, '-fNonsense']);
    expect(run.exit).toBe(1);
    expect(run.stdout).toContain('Did not recognize the field: Nonsense');
  });

  test('a dirty database is dumped with a warning', async () => {
    const run = await eseutil(['-ms', uamDirty]);
    expect(run.exit).toBe(0);
    expect(run.stderr).toMatch(/^WARNING: the database was not shut down cleanly, logs 124-124 are required/);
    expect((await eseutilJson(['-ms', uamDirty])).warnings).toMatchObject([{ name: 'DirtyDatabase' }]);
  });
});

describeWithCorpus('page dumps', () => {
  test('a root page: header fields as they stand in the file, flags in words, tags', async () => {
    const run = await eseutil(['-m', testEdb, '-p4']);
    const page = readFileSync(testEdb).subarray(5 * 4096, 6 * 4096);
    const stored = page.readBigUInt64LE(0);
    const digits = stored.toString(16).padStart(16, '0');
    expect(run.exit).toBe(0);
    expect(run.lines.slice(6, 36)).toEqual([
      `      Database: ${testEdb}`,
      '          Page: 4',
      '',
      `\theader checksum       = 0x${digits}`,
      '\t\tnew checksum format',
      `\t\t\theader ECC checksum = 0x${digits.slice(0, 8)}`,
      `\t\t\theader XOR checksum   = 0x${digits.slice(8)}`,
      '',
      `\t                checksum <0x5000,  8>:  ${page.readBigInt64LE(0)} (0x${digits.toUpperCase()})`,
      `\t           dbtimeDirtied <0x5008,  8>:  ${page.readUInt32LE(8)} (0x110)`,
      '\t                pgnoPrev <0x5010,  4>:  0 (0x0)',
      '\t                pgnoNext <0x5014,  4>:  0 (0x0)',
      '\t                objidFDP <0x5018,  4>:  2 (0x2)',
      `\t                  cbFree <0x501C,  2>:  ${page.readUInt16LE(28)} (0xFA3)`,
      '\t       cbUncommittedFree <0x501E,  2>:  0 (0x0)',
      `\t               ibMicFree <0x5020,  2>:  ${page.readUInt16LE(32)} (0xAEA)`,
      '\t               itagState <0x5022,  2>:  3 (0x3)',
      `\t                  fFlags <0x5024,  4>:  ${page.readUInt32LE(36)} (0xA805)`,
      '\t\tParent of leaf',
      '\t\tInternal page',
      '\t\tRoot page',
      '\t\tFDP page',
      '\t\t\tMultiple Extent Space (ParentFDP: 1, pgnoOE: 5)',
      '\t\tPrimary page',
      '\t\tNew checksum format',
      '',
      'TAG   0: cb:0x0010,ib:0x0000                                                  offset:0x0028-0x0038 flags:0x0000 (   )',
      'TAG   1: cb:0x0013,ib:0x0ad7 prefix:cb=0x0000 suffix:cb=0x000d data:cb=0x0004 offset:0x0aff-0x0b12 flags:0x0000 (   ) pgno: 13',
      'TAG   2: cb:0x0006,ib:0x0ad1 prefix:cb=0x0000 suffix:cb=0x0000 data:cb=0x0004 offset:0x0af9-0x0aff flags:0x0000 (   ) pgno: 14',
      '',
    ]);
  });

  test('a space tree shows its extents, a large page its four checksums', async () => {
    const run = await eseutil(['-m', largeEdb, '-p5']);
    expect(run.lines.filter((line) => line.startsWith('\tHEADER checksum'))[0]).toMatch(
      /^\tHEADER checksum = (?:0x[0-9a-f]{16}:){3}0x[0-9a-f]{16}$/,
    );
    expect(
      run.lines.filter((line) => line.includes(' SP: ')).map((line) => line.replace(/.* SP: /, '')),
    ).toEqual([
      ...['0: 20,4-23', '0: 20,40-59', '0: 20,60-79', '0: 20,106-125', '0: 20,142-161', '0: 20,178-197'],
      ...[
        '0: 16,214-229',
        '0: 20,230-249',
        '0: 20,271-290',
        '0: 20,291-310',
        '0: 20,343-362',
        '0: 20,363-382',
      ],
    ]);
  });

  test('JSON: every root page of the facts has its flags, objid and nodes', async () => {
    const { trees } = corpusJson<Facts>('databases', 'test.edb.facts.json').trees;
    for (const fact of trees) {
      const { result, mode } = await eseutilJson(['-m', testEdb, `-p${fact.root}`]);
      expect(mode).toBe('dumpPage');
      expect(result).toMatchObject({
        pgno: fact.root,
        offset: (fact.root + 1) * 4096,
        checksum: { kind: 'eccXor', ok: true, correctableBit: null },
        header: { objid: fact.objid, flags: Number(fact.flags) },
      });
    }
  });

  test('numbers may be decimal, hexadecimal or octal; -1 and 0 are the header copies', async () => {
    for (const number of ['-p13', '-p0xd', '-p015']) {
      expect((await eseutilJson(['-m', testEdb, number])).result).toMatchObject({ pgno: 13 });
    }
    const header = await eseutilJson(['-m', testEdb, '-p-1']);
    expect(header.result).toMatchObject({
      pgno: -1,
      offset: 0,
      checksum: { kind: 'header', ok: true },
      nodes: [],
    });
    expect((await eseutilJson(['-m', testEdb, '-p0'])).result).toMatchObject({ pgno: 0, offset: 4096 });
  });

  test('one node, one tag, and the node that a key leads to', async () => {
    const whole = await eseutilJson<{ nodes: { tag: number; key: string; data: string }[] }>([
      '-m',
      testEdb,
      '-p13',
    ]);
    const third = whole.result.nodes[3];
    expect((await eseutilJson(['-m', testEdb, '-n13:2'])).result).toMatchObject({ nodes: [third] });
    expect((await eseutilJson(['-m', testEdb, '-n[1:13:2]'])).result).toMatchObject({ nodes: [third] });
    expect((await eseutilJson(['-m', testEdb, '-i13:3'])).result).toMatchObject({ nodes: [third] });
    expect((await eseutilJson(['-m', testEdb, '-p13', `-k${third?.key}`])).result).toMatchObject({
      nodes: [third],
    });
    expect((await eseutil(['-m', testEdb, '-p13', '-kffffffffffff'])).stdout).toContain(
      'error -1601 (JET_errRecordNotFound, ',
    );
    expect((await eseutil(['-m', testEdb, '-n13:9999'])).stdout).toContain(
      'error -354 (JET_errBadLineCount, ',
    );
  });

  test('there is no page -2', async () => {
    const run = await eseutil(['-m', testEdb, '-p-2']);
    expect(run.exit).toBe(1);
    expect(run.stdout).toContain("Usage Error: Invalid option '/p-2'.");
  });

  test('a page behind the end: -4001, exit 2', async () => {
    const run = await eseutil(['-m', testEdb, '-p999']);
    expect(run.exit).toBe(2);
    expect(run.stdout).toContain('error -4001 (JET_errFileIOBeyondEOF, ');
  });

  test('a flipped bit is named, and so is a page in the wrong place', async () => {
    const file = join(folder, 'flipped.edb');
    copyFileSync(testEdb, file);
    const bytes = readFileSync(file);
    const at = 14 * 4096 + 1000;
    bytes[at] = (bytes[at] ?? 0) ^ 0x04;
    bytes.copyWithin(15 * 4096, 5 * 4096, 6 * 4096);
    writeFileSync(file, bytes);
    const flipped = await eseutil(['-m', file, '-p13']);
    expect(flipped.exit).toBe(0);
    expect(flipped.lines).toContain('\t****** checksum mismatch ******');
    expect(flipped.lines).toContain('\tchecksum error is correctable');
    expect(flipped.lines).toContain('\tbit 8002 is corrupted');
    expect((await eseutilJson(['-m', file, '-p13'])).result).toMatchObject({
      checksum: { ok: false, correctableBit: 8002 },
    });
    const misplaced = await eseutil(['-m', file, '-p14']);
    expect(misplaced.lines).toContain('\tchecksum error is NOT correctable');
    expect(misplaced.lines).toContain('\tperhaps this is actually page 4');
  });

  test('a page of noise and a blank page are dumped too', async () => {
    const file = join(folder, 'noise.edb');
    const bytes = readFileSync(testEdb);
    let seed = 1;
    for (let i = 14 * 4096; i < 15 * 4096; i++) {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      bytes[i] = seed >> 16;
    }
    writeFileSync(file, bytes);
    expect((await eseutil(['-m', file, '-p13'])).exit).toBe(0);
    const blank = await eseutil(['-m', file, '-p200']);
    expect(blank.exit).toBe(0);
    expect(blank.lines).toContain('\t****** the page is blank: it was never used ******');
  });
});

describeWithCorpus('/mc', () => {
  test('counts the pages of each category', async () => {
    const run = await eseutil(['-mc', testEdb, '-f']);
    expect(run.exit).toBe(0);
    const from = run.lines.indexOf('Pages 1-254');
    expect(run.lines.slice(from + 2, from + 12)).toEqual([
      'Category                                       Pages',
      '====================================================',
      'Available                                        209',
      'Leaf                                              22',
      'Root                                               7',
      'Root+SmallSpace                                    2',
      'Root+SpaceAE                                       7',
      'Root+SpaceOE                                       7',
      '----------------------------------------------------',
      '                                                 254',
    ]);
  });

  test('/v prints a line a page, /p chooses them', async () => {
    const run = await eseutil(['-mc', testEdb, '-v', '-p1:4']);
    const from = run.lines.indexOf('Pgno,Objid,Category');
    expect(run.lines.slice(from + 1, from + 6)).toEqual([
      '1,1,Root',
      '2,1,Root+SpaceOE',
      '3,1,Root+SpaceAE',
      '4,2,Root',
      '',
    ]);
    expect((await eseutilJson(['-mc', testEdb, '-p253:max'])).result).toEqual({
      range: [253, 254],
      counts: { Available: 2 },
    });
    expect(await eseutilJson(['-mc', testEdb, '-p7', '-v'])).toMatchObject({
      mode: 'dumpSpaceCategory',
      result: { range: [7, 7], pages: [{ pgno: 7, category: 'Root', objid: 4 }] },
    });
    for (const range of ['0', '-1', '9:3']) {
      const wrong = await eseutil(['-mc', testEdb, `-p${range}`]);
      expect(wrong.exit).toBe(1);
      expect(wrong.stdout).toContain(`Usage Error: Invalid option '/p${range}'.`);
    }
    expect((await eseutil(['-mc', testEdb, '-p500'])).stdout).toContain(
      'error -4001 (JET_errFileIOBeyondEOF, ',
    );
  });

  test('the bar of categorization', async () => {
    const run = await eseutil(['-mc', testEdb, '--progress=always']);
    expect(run.lines).toContain('               Space Categorization Status (% complete)');
    expect(run.lines).toContain(`          ${'.'.repeat(51)}`);
  });

  test('a tree that cannot be read leaves its pages undetermined, and ends with its error', async () => {
    const file = join(folder, 'no-root.edb');
    const bytes = readFileSync(testEdb);
    // Page 7 is the root of an index; page 8 begins its owned extents.
    bytes.fill(0, 9 * 4096, 10 * 4096);
    writeFileSync(file, bytes);
    const { exit, error, result } = await eseutilJson<{ counts: Record<string, number> }>([
      '-mc',
      file,
      '-f',
    ]);
    expect([exit, error?.code]).toEqual([2, -1019]);
    expect(result.counts.Available).toBeLessThan(209);
  });
});

describeWithCorpus('/mn and /mp', () => {
  test('the nodes of a table, in key order', async () => {
    const { result, mode } = await eseutilJson<{ nodes: { key: string; deleted: boolean }[] }>([
      '-mn',
      uamDirty,
      '-tMSysObjects',
    ]);
    expect(mode).toBe('dumpNodes');
    expect(result).toMatchObject({ table: 'MSysObjects' });
    expect(result.nodes).toHaveLength(467);
    const keys = result.nodes.map((node) => node.key);
    expect(keys).toEqual([...keys].sort());
    const text = await eseutil(['-mn', uamDirty, '-tMSysObjects']);
    expect(text.lines).toContain('467 nodes');
    const limited = await eseutilJson(['-mn', uamDirty, '-tMSysObjects', '--json-limit=3']);
    expect(limited.result).toMatchObject({ nodesTruncated: true, nodes: [{}, {}, {}] });
  });

  test('a flush map holds the flush types of the pages of its database', async () => {
    const jfm = corpusPath('databases', 'secedit.jfm');
    const { result, mode } = await eseutilJson<{ entries: { pgno: number; value: number }[] }>([
      '-mp',
      jfm,
      '-p0',
    ]);
    expect(mode).toBe('dumpFlushMap');
    expect(result).toMatchObject({ copies: [{ which: 1, ok: true }], pages: 1 });
    const database = readFileSync(corpusPath('databases', 'secedit.sdb'));
    for (let pgno = 1; pgno <= 254; pgno++) {
      const flushType = (database.readUInt32LE((pgno + 1) * 4096 + 36) >> 15) & 3;
      expect(result.entries[pgno]).toEqual({ pgno, value: flushType });
    }
    expect((await eseutil(['-mp', jfm])).exit).toBe(0);
    expect((await eseutil(['-mp', testEdb])).stdout).toContain('error -1812 (JET_errFileInvalidType, ');
  });

  test('a map that ends within a page is damaged', async () => {
    const file = join(folder, 'short.jfm');
    writeFileSync(file, readFileSync(corpusPath('databases', 'secedit.jfm')).subarray(0, 9000));
    for (const mode of ['-mp', '-k']) {
      const run = await eseutil([mode, file]);
      expect(run.exit).toBe(2);
      expect(run.stdout).toContain(
        'error -1018 (JET_errReadVerifyFailure, the flush map ends in the middle of its page 0: ',
      );
    }
  });
});

describe('dumps of files that are no databases', () => {
  const text = join(folder, 'text.edb');
  writeFileSync(text, 'no database\n'.repeat(1000));

  test.each([
    ['-mm', -1206],
    ['-ms', -1206],
    ['-mn', -1206],
    ['-m', -1206],
  ])('%s', async (mode, code) => {
    const run = await eseutil(mode === '-m' ? [mode, text, '-p5'] : [mode, text]);
    expect(run.exit).toBe(2);
    expect(run.stdout).toContain(`Operation terminated with error ${code} (JET_errDatabaseCorrupted, `);
    expect((await eseutil([mode, folder])).stdout).toContain('error -1023 (JET_errInvalidPath, ');
    expect((await eseutil([mode, join(folder, 'none')])).stdout).toContain(
      'error -1811 (JET_errFileNotFound, ',
    );
  });
});
