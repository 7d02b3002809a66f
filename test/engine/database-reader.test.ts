import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import type { IndexDefinition } from '../../src/format/table-definition.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { allCorpusDatabases, corpusJson, corpusPath, describeWithCorpus } from '../corpus.js';

interface IndexFacts {
  name: string;
  objid: number;
  pgnoFDP: number;
  flags: number;
  density: number;
  locale: number;
  KeyFldIDs: string;
  KeyMost?: number;
  LCMapFlags?: number;
  LocaleName?: string;
  SortID?: string;
  Version?: string;
}
interface Facts {
  catalog: Record<
    string,
    {
      objid: number;
      pgnoFDP: number;
      flags: number;
      density: number;
      pages: number;
      columnCount?: number;
      columns: {
        id: number;
        name: string;
        coltyp: number;
        max: number;
        cp: number;
        flags: number;
        recoff: number | null;
        DefaultValue?: string;
      }[];
      indexes: IndexFacts[];
      lv: { objid: number; pgnoFDP: number; density: number; pages: number } | null;
    }
  >;
  /** Without the number in the derived crash states. */
  space: { lastOwned?: number };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** An index definition in the form of the facts: what the catalog row holds. */
function indexFacts(index: IndexDefinition): IndexFacts {
  const segment = (s: IndexDefinition['segments'][number]): string => {
    const flags = (s.descending ? 0x40 : 0) | (s.derived ? 0x80 : 0);
    return hex(Uint8Array.of(flags, 0, s.columnId & 0xff, s.columnId >> 8));
  };
  return {
    name: index.name,
    objid: index.objid,
    pgnoFDP: index.pgnoFdp,
    flags: index.flags,
    density: index.density,
    locale: index.lcid,
    KeyFldIDs: index.segments.map(segment).join(''),
    ...(index.keyMost === undefined ? {} : { KeyMost: index.keyMost }),
    ...(index.lcMapFlags === undefined ? {} : { LCMapFlags: index.lcMapFlags }),
    ...(index.localeName === undefined
      ? {}
      : { LocaleName: Buffer.from(index.localeName, 'utf16le').toString('hex') }),
    ...(index.sortId === undefined ? {} : { SortID: hex(index.sortId) }),
    ...(index.sortVersion === undefined ? {} : { Version: hex(index.sortVersion) }),
  };
}

describeWithCorpus('catalogs of real databases', () => {
  for (const { name, path, facts: factsPath } of allCorpusDatabases()) {
    const facts = corpusJson<Facts>(...factsPath);
    const tables = Object.entries(facts.catalog);

    it(`tables, columns, indexes and long-value trees of ${name} equal their facts`, () => {
      const database = openDatabaseReader(nodeFileSystem, path);
      expect(
        database
          .tables()
          .map((table) => table.name)
          .sort(),
      ).toEqual(Object.keys(facts.catalog).sort());
      for (const [tableName, fact] of tables) {
        const table = database.table(tableName);
        const { objid, pgnoFdp, flags, density, pages } = table;
        expect({ objid, pgnoFdp, flags, density, pages }).toEqual({
          objid: fact.objid,
          pgnoFdp: fact.pgnoFDP,
          flags: fact.flags,
          density: fact.density,
          pages: fact.pages,
        });
        const columns = table.columns.map((column) => [
          column.columnId,
          column.name,
          column.coltyp,
          column.maxLength,
          column.defaultValue === undefined ? '' : hex(column.defaultValue),
        ]);
        expect(columns.length).toBe(fact.columnCount ?? fact.columns.length);
        // The facts list the first columns of a table that has tens of thousands.
        expect(columns.slice(0, fact.columns.length)).toEqual(
          fact.columns.map((c) => [c.id, c.name, c.coltyp, c.max, c.DefaultValue ?? '']),
        );
        expect(table.indexes.map(indexFacts)).toEqual(fact.indexes);
        const lv = table.longValueTree;
        const { lv: lvFacts } = fact;
        expect(lv === undefined ? null : [lv.objid, lv.pgnoFdp, lv.density, lv.pages]).toEqual(
          lvFacts === null ? null : [lvFacts.objid, lvFacts.pgnoFDP, lvFacts.density, lvFacts.pages],
        );
      }
      const { lastOwned } = facts.space;
      if (lastOwned !== undefined) expect(database.lastOwnedPgno()).toBe(lastOwned);
      const isDirty = database.header.state !== 3;
      const warnings = new Set(database.warnings.map((warning) => warning.name));
      // In the derived crash states pages of the catalog were never written.
      const isDerived = lastOwned === undefined;
      expect([...warnings]).toEqual([
        ...(isDirty ? ['DirtyDatabase'] : []),
        ...(isDerived ? ['CatalogDamaged'] : []),
      ]);
      database.close();
    });
  }
});

describeWithCorpus('reading a damaged database', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'esekit-reader-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const damagedCopy = (name: string, damage: (bytes: Buffer) => void): string => {
    const path = join(folder, name);
    copyFileSync(corpusPath('databases', 'test.edb'), path);
    const bytes = readFileSync(path);
    damage(bytes);
    writeFileSync(path, bytes);
    return path;
  };
  const pageAt = (pgno: number): number => (pgno + 1) * 4096;
  const names = (path: string): [string[], string[]] => {
    const database = openDatabaseReader(nodeFileSystem, path);
    const tables = database.tables().map((table) => table.name);
    database.close();
    return [tables, database.warnings.map((warning) => warning.name)];
  };
  const ALL = ['MSysObjects', 'MSysObjectsShadow', 'TestTable', 'MSysObjids', 'MSysLocales'].sort();

  it('uses the shadow header when the primary is damaged, and says so', () => {
    const [tables, warnings] = names(damagedCopy('primary.edb', (b) => b.fill(0xff, 100, 120)));
    expect(tables.sort()).toEqual(ALL);
    expect(warnings).toEqual(['HeaderFromShadow']);
  });

  it('refuses with the JET error when both headers are damaged', () => {
    const path = damagedCopy('both.edb', (b) => {
      b.fill(0xff, 100, 120);
      b.fill(0xff, 4096 + 100, 4096 + 120);
    });
    expect(() => names(path)).toThrow(
      expect.objectContaining({ name: 'JET_errReadVerifyFailure', code: -1018, file: path }),
    );
  });

  it('reads a page with one flipped bit corrected, anywhere in the page', () => {
    for (const bit of [8 * 8, 8 * 100 + 3, 8 * 4095 + 7]) {
      const path = damagedCopy('bit.edb', (b) => {
        const at = pageAt(4) + (bit >> 3);
        b[at] = (b[at] ?? 0) ^ (1 << (bit & 7));
      });
      const database = openDatabaseReader(nodeFileSystem, path);
      expect(database.tables().length).toBe(5);
      expect([...database.source.correctedPages]).toEqual([4]);
      database.close();
    }
  });

  it('takes the shadow catalog when the root of the catalog is gone', () => {
    const [tables, warnings] = names(damagedCopy('catalog.edb', (b) => b.fill(0, pageAt(4), pageAt(5))));
    expect(tables.sort()).toEqual(ALL);
    expect(warnings).toEqual(['CatalogFromShadow']);
  });

  it('gives up with the JET error when catalog and shadow are gone', () => {
    const path = damagedCopy('catalogs.edb', (b) => {
      b.fill(0, pageAt(4), pageAt(5));
      b.fill(0, pageAt(24), pageAt(25));
    });
    expect(() => names(path)).toThrow(expect.objectContaining({ name: 'JET_errCatalogCorrupted', pgno: 4 }));
  });

  it('refuses a text file, an empty file and a directory', () => {
    const text = join(folder, 'text.edb');
    writeFileSync(text, 'not a database\n'.repeat(1000));
    expect(() => names(text)).toThrow(expect.objectContaining({ name: 'JET_errDatabaseCorrupted' }));
    const empty = join(folder, 'empty.edb');
    writeFileSync(empty, '');
    expect(() => names(empty)).toThrow(expect.objectContaining({ name: 'JET_errDatabaseCorrupted' }));
    expect(() => names(folder)).toThrow(expect.objectContaining({ name: 'JET_errFileInvalidType' }));
    expect(() => names(join(folder, 'none'))).toThrow(
      expect.objectContaining({ name: 'JET_errFileNotFound' }),
    );
  });
});
