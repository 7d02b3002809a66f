import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Cursor, type RowInput } from '../../src/engine/cursor.js';
import { openInstance } from '../../src/engine/instance.js';
import { createTable, type NewColumn } from '../../src/engine/schema.js';
import { seededEnvironment } from '../../src/io/environment.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { hasImpacket, type ImpacketRow, impacketRows } from '../support/impacket.js';

if (!hasImpacket) console.warn('skipped, python3-impacket is not installed: rows as impacket reads them');

const folder = mkdtempSync(join(tmpdir(), 'esekit-impacket-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A table with a column of every type that impacket knows; the names say how the values are stored. */
const COLUMNS: readonly NewColumn[] = [
  { name: 'id', type: 'long', notNull: true },
  { name: 'bit', type: 'bit' },
  { name: 'unsignedByte', type: 'unsignedByte' },
  { name: 'short', type: 'short' },
  { name: 'currency', type: 'currency' },
  { name: 'ieeeSingle', type: 'ieeeSingle' },
  { name: 'ieeeDouble', type: 'ieeeDouble' },
  { name: 'dateTime', type: 'dateTime' },
  { name: 'unsignedLong', type: 'unsignedLong' },
  { name: 'longLong', type: 'longLong' },
  { name: 'guid', type: 'guid' },
  { name: 'unsignedShort', type: 'unsignedShort' },
  { name: 'fixedText', type: 'text', fixed: true, maxLength: 6 },
  { name: 'text', type: 'text', maxLength: 100 },
  { name: 'unicode', type: 'text', unicode: true, maxLength: 100 },
  { name: 'binary', type: 'binary', maxLength: 60 },
  { name: 'taggedLong', type: 'long', tagged: true },
  { name: 'longText', type: 'longText', unicode: true },
  { name: 'longBinary', type: 'longBinary' },
  { name: 'separated', type: 'longBinary' },
  { name: 'several', type: 'long', tagged: true, multiValued: true },
  { name: 'packed', type: 'longText', compressed: true },
];

const ROWS = 120;
const OLE_UNIX_DAYS = 25569;
/** What stands where a fixed value was never set. */
const FILL_LONG = String(0x2a2a2a2a);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (n: number, count: number): Uint8Array => Uint8Array.from({ length: count }, (_, i) => n + i);

function rowOf(n: number): RowInput {
  return {
    id: n,
    bit: n % 2 === 1,
    unsignedByte: n,
    short: -n,
    currency: BigInt(n) * 10_000n,
    ieeeSingle: n / 4,
    ieeeDouble: n / 3,
    dateTime: new Date(Date.UTC(2020, 0, 1 + n)),
    unsignedLong: 0xffffffff - n,
    longLong: -BigInt(n) - 1n,
    guid: `00112233-4455-6677-8899-aabbccddee${n.toString(16).padStart(2, '0')}`,
    unsignedShort: 0xff00 + n,
    fixedText: `row${String(n).padStart(3, '0')}`,
    text: `Größe ${n}`,
    unicode: `Ω${n}`,
    binary: bytesOf(n, n % 50),
    taggedLong: n % 3 === 0 ? null : n,
    longText: 'ж'.repeat(n),
    longBinary: bytesOf(n, 3 * n),
    separated: bytesOf(n, 5000),
    several: [n, n + 1, n + 2],
    packed: 'a text that packs '.repeat(4),
  };
}

function bitsOf(days: number): string {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, days, true);
  return view.getBigUint64(0, true).toString();
}

/** The row as impacket shows it, after docs/impacket.md. */
function shownOf(n: number): ImpacketRow {
  const several = new Uint8Array(18);
  const view = new DataView(several.buffer);
  for (let i = 0; i < 3; i++) {
    view.setUint16(2 * i, 6 + 4 * i, true);
    view.setInt32(6 + 4 * i, n + i, true);
  }
  return {
    id: String(n),
    bit: n % 2 === 1 ? '255' : '0',
    unsignedByte: String(n),
    short: String(-n),
    currency: String(n * 10_000),
    ieeeSingle: String(n / 4),
    ieeeDouble: String(n / 3),
    dateTime: bitsOf(Date.UTC(2020, 0, 1 + n) / 86_400_000 + OLE_UNIX_DAYS),
    unsignedLong: String(0xffffffff - n),
    // Signed numbers of 8 bytes come as unsigned ones.
    longLong: String(2n ** 64n - BigInt(n) - 1n),
    guid: `33221100554477668899aabbccddee${n.toString(16).padStart(2, '0')}`,
    unsignedShort: String(0xff00 + n),
    fixedText: `row${String(n).padStart(3, '0')}`,
    text: `Größe ${n}`,
    unicode: `Ω${n}`,
    binary: hex(bytesOf(n, n % 50)),
    taggedLong: n % 3 === 0 ? null : String(n),
    longText: 'ж'.repeat(n),
    longBinary: hex(bytesOf(n, 3 * n)),
    // The id of a long value, not the value.
    separated: expect.stringMatching(/^[0-9a-f]{8}$/) as unknown as string,
    // Several values as they lie in the record: their offsets, then they themselves.
    several: hex(several),
    // Packed values are refused.
    packed: null,
  };
}

/** Numbers in one notation: impacket writes `3.0` for 3. */
function sameNotation(row: ImpacketRow): ImpacketRow {
  const { ieeeSingle, ieeeDouble } = row;
  return { ...row, ieeeSingle: String(Number(ieeeSingle)), ieeeDouble: String(Number(ieeeDouble)) };
}

describe.skipIf(!hasImpacket)('rows as impacket reads them', () => {
  describe.each([4096, 8192, 16384, 32768])('from pages of %i bytes', (pageSize) => {
    const path = join(folder, `${pageSize}.edb`);
    const logs = mkdtempSync(join(folder, 'logs-'));
    let tables: Map<string, ImpacketRow[]> | undefined;

    /** Writes the database once, closes it, and has impacket read it. */
    function judged(): Map<string, ImpacketRow[]> {
      if (tables !== undefined) return tables;
      const environment = seededEnvironment({ fs: nodeFileSystem, seed: pageSize });
      const instance = openInstance({ environment, logDirectory: logs, pageSize });
      const database = instance.createDatabase(path);
      const session = instance.createSession();
      const all = createTable(database, session, {
        name: 'AllTypes',
        columns: COLUMNS,
        indexes: [{ name: 'byId', primary: true, segments: ['id'] }],
      });
      const many = createTable(database, session, {
        name: 'Many',
        columns: [
          { name: 'n', type: 'long' },
          { name: 'note', type: 'text', maxLength: 80 },
        ],
        indexes: [
          { name: 'byN', primary: true, segments: ['n'] },
          { name: 'byNote', segments: [{ column: 'note', descending: true }] },
        ],
      });
      const nothing = createTable(database, session, {
        name: 'Sparse',
        columns: [
          { name: 'first', type: 'long' },
          { name: 'last', type: 'long' },
        ],
        indexes: [],
      });
      session.transaction(() => {
        const cursor = new Cursor(session, all);
        for (let n = 0; n < ROWS; n++) cursor.insert(rowOf(n));
        new Cursor(session, nothing).insert({ last: 7 });
        new Cursor(session, nothing).insert({ first: 8 });
      });
      const rows = new Cursor(session, many);
      for (let from = 0; from < 3000; from += 500) {
        session.transaction(() => {
          for (let n = from; n < from + 500; n++) rows.insert({ n, note: `note ${n % 97} of ${n}` });
        });
      }
      session.transaction(() => {
        for (let n = 0; n < 3000; n += 3) if (rows.seek('=', n)) rows.delete();
        for (let n = 1; n < 3000; n += 30) if (rows.seek('=', n)) rows.update({ note: `changed ${n}` });
      });
      instance.close();
      tables = impacketRows(path, pageSize);
      return tables;
    }

    it('are those that were put in, for every type of column', () => {
      const rows = judged().get('AllTypes') ?? [];
      expect(rows.map(sameNotation)).toEqual(Array.from({ length: ROWS }, (_, n) => shownOf(n)));
    });

    it('are those of a large table, without the deleted ones', () => {
      const kept = Array.from({ length: 3000 }, (_, n) => n).filter((n) => n % 3 !== 0);
      expect(judged().get('Many')).toEqual(
        kept.map((n) => ({
          n: String(n),
          note: n % 30 === 1 ? `changed ${n}` : `note ${n % 97} of ${n}`,
        })),
      );
    });

    it('show fill bytes for a fixed column that is NULL, and nothing for one that is not stored', () => {
      expect(judged().get('Sparse')).toEqual([
        { first: FILL_LONG, last: '7' },
        { first: '8', last: null },
      ]);
    });

    it('of the catalog name the tables', () => {
      const names = new Set(judged().keys());
      for (const name of ['MSysObjects', 'MSysObjectsShadow', 'MSysObjids', 'AllTypes', 'Many']) {
        expect(names).toContain(name);
      }
    });
  });
});
