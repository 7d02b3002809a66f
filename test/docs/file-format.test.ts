import { describe, expect, it } from 'vitest';
import { CATALOG_COLUMNS, INDEX_FLAG, TABLE_FLAG } from '../../src/format/catalog-row.js';
import { CHECKPOINT_LAYOUT, decodeCheckpoint } from '../../src/format/checkpoint.js';
import { COLTYP, COLUMN_FLAG, coltypName, coltypSize } from '../../src/format/column.js';
import { decompressToNew } from '../../src/format/compression.js';
import { decodeDatabaseHeader, HEADER_LAYOUT } from '../../src/format/database-header.js';
import { FLUSH_MAP_HEADER_LAYOUT } from '../../src/format/flush-map.js';
import { decodeLogHeader, LOG_HEADER_LAYOUT } from '../../src/format/log-header.js';
import { LogRecordCursor } from '../../src/format/log-record-cursor.js';
import type { LogField, RecordBytes } from '../../src/format/log-record-field.js';
import { LOG_RECORD_LAYOUTS } from '../../src/format/log-record-layout.js';
import { logRecordFixedSize } from '../../src/format/log-record-size.js';
import { LRTYP } from '../../src/format/log-record-type.js';
import { isShadowOf, judgeSegment } from '../../src/format/log-segment.js';
import { checkPageStructure, createNodeView, NODE_FLAG, PAGE_FLAG, Page } from '../../src/format/page.js';
import { diagnosePage, xorChecksum } from '../../src/format/page-checksum.js';
import { TAGGED_HEADER } from '../../src/format/record.js';
import { bytesOf, hexOf } from '../format/bytes.js';
import { byteExamples, formatSections, readRepositoryFile, repositoryFiles, tableRows } from './document.js';
import { createExampleDatabase, EXAMPLE } from './example-database.js';

const sections = formatSections();
const section = (number: string): string => sections.get(number) ?? '';

// --- Layouts as the document writes them ---

const ONES: RecordBytes = (() => {
  const bytes = new Uint8Array(1024).fill(0xff);
  return { bytes, view: new DataView(bytes.buffer), offset: 0, size: bytes.length };
})();

/** `u16`, `dbtime`, `signature` …; undefined for a field that is only a part of its bytes. */
function typeOf(field: LogField<unknown>): string | undefined {
  const { kind, length } = field;
  if (['lgpos', 'logtime', 'signature', 'dbmsParam'].includes(kind)) return kind;
  const ones = field.read(ONES);
  if (kind === 'u64') return typeof ones === 'number' ? 'dbtime' : 'u64';
  if (typeof ones === 'bigint') return `i${8 * length}`;
  if (ones === -1) return `i${8 * length}`;
  return ones === 2 ** (8 * length) - 1 ? `u${8 * length}` : undefined;
}

function layoutTokens(layout: Record<string, LogField<unknown>>): { whole: string[]; partial: string[] } {
  const whole: string[] = [];
  const partial: string[] = [];
  for (const [name, field] of Object.entries(layout)) {
    if (field.at === undefined) continue;
    const type = typeOf(field);
    if (type === undefined) partial.push(`${field.at} ${name}`);
    else whole.push(`${field.at} ${type} ${name}`);
  }
  return { whole: whole.sort(), partial };
}

/** `off type field` of the rows of a field table that name a field. */
function fieldTable(number: string): string[] {
  return tableRows(section(number))
    .filter(([off = '', , field = '']) => /^\d+$/.test(off) && /^\w+$/.test(field))
    .map(([off, type, field]) => `${off} ${type} ${field}`)
    .sort();
}

/** Names and values of a table of flags or numbers. */
function namedNumbers(number: string, numberCell = 0, nameCell = 1): Record<string, number> {
  return Object.fromEntries(
    tableRows(section(number))
      .filter((row) => /^(0x)?[0-9a-f]+$/i.test(row[numberCell] ?? '') && /^\w+$/.test(row[nameCell] ?? ''))
      .map((row) => [row[nameCell], Number(row[numberCell])]),
  );
}

describe('the format specification', () => {
  it('has every section that a comment refers to', () => {
    const known = new Set(sections.keys());
    for (const text of sections.values()) {
      for (const [cell = ''] of tableRows(text)) {
        const range = /^(\d+(?:\.\d+)*)\.(\d+)(?:–\1\.(\d+))?$/.exec(cell);
        if (range === null) continue;
        const [, stem, first, last = first] = range;
        for (let i = Number(first); i <= Number(last); i++) known.add(`${stem}.${i}`);
      }
    }
    const unknown: string[] = [];
    for (const file of repositoryFiles(['src', 'test', 'kernel', 'bench', 'scripts'], ['.ts', '.mjs'])) {
      const text = readRepositoryFile(file).replaceAll(/\n\s*(?:\*|\/\/) ?/g, ' ');
      const list = /chapters? (\d+(?:\.\d+)*(?:(?:,|-| R\d)?(?: and| to)? ?\d+(?:\.\d+)+)*)/gi;
      for (const [, numbers = ''] of text.matchAll(list)) {
        for (const [number] of numbers.matchAll(/\d+(?:\.\d+)*/g)) {
          if (!known.has(number)) unknown.push(`${file}: ${number}`);
        }
      }
    }
    expect(unknown).toEqual([]);
  });

  it.each([
    ['1.6', FLUSH_MAP_HEADER_LAYOUT],
    ['4.2', LOG_HEADER_LAYOUT],
    ['4.8', CHECKPOINT_LAYOUT],
  ])('lists the fields of section %s as they are decoded', (number, layout) => {
    expect(fieldTable(number)).toEqual(layoutTokens(layout).whole);
  });

  it('lists the fields of the database header as they are decoded', () => {
    const layout = Object.entries(HEADER_LAYOUT).map(([name, [off, type]]) => `${off} ${type} ${name}`);
    expect(fieldTable('1.2.2')).toEqual(layout.sort());
  });

  it('lists flags, types and catalog columns as they are', () => {
    expect(namedNumbers('1.3')).toMatchObject(PAGE_FLAG);
    expect(namedNumbers('1.5.2')).toEqual(NODE_FLAG);
    expect(namedNumbers('2.3.4')).toEqual(TABLE_FLAG);
    expect(namedNumbers('3.1.4')).toEqual(COLUMN_FLAG);
    expect(namedNumbers('3.2.4')).toEqual(TAGGED_HEADER);
    expect(namedNumbers('3.4.1')).toEqual(INDEX_FLAG);
    expect(tableRows(section('3.1.1')).map((row) => row.slice(0, 3))).toEqual(
      Object.values(COLTYP).map((type) => [`${type}`, coltypName(type), `${coltypSize(type)}`]),
    );
    expect(tableRows(section('2.3.2')).map((row) => row.slice(0, 4))).toEqual(
      CATALOG_COLUMNS.map(({ columnId, name, coltyp, maxLength }) => [
        `${columnId}`,
        name,
        coltypName(coltyp),
        `${maxLength}`,
      ]),
    );
  });

  it('lists number and size of every record type', () => {
    const rows = tableRows(section('4.5.1')).filter(([number = '']) => /^\d+$/.test(number));
    const listed = rows.map(([number, name, size]) => [name, Number(number), Number(size)]);
    const isListed = (name: string) => !/^Ignored1\d$/.test(name);
    const types = Object.entries(LRTYP).filter(([name]) => isListed(name));
    expect(listed).toEqual(types.map(([name, lrtyp]) => [name, lrtyp, logRecordFixedSize(lrtyp)]));
  });

  it('lists the fields of every record type', () => {
    const tokensOf = (text: string): string[] =>
      [...text.matchAll(/`(\d+ \w+ \w+)`/g)].map(([, token = '']) => token);
    const paragraphs = section('4.5.2').split('\n\n');
    const prefix = (name: string): string[] =>
      tokensOf(paragraphs.find((paragraph) => paragraph.startsWith(`**${name}**`)) ?? '');
    const page = prefix('PAGE');
    const node = [...page, ...prefix('NODE')];
    const listed = new Map<string, string[]>();
    for (const [number, text] of sections) {
      if (!/^4\.6\.[12346]$/.test(number)) continue;
      const before = number === '4.6.4' ? node : number === '4.6.6' ? page : [];
      for (const [names = '', fields = ''] of tableRows(text)) {
        const base = /^as (\w+)/.exec(fields)?.[1];
        const inherited = base === undefined ? before : (listed.get(base) ?? []);
        const ignored = fields.startsWith('IGNORED') ? prefix('IGNORED') : [];
        for (const name of names.split(', '))
          listed.set(name, [...inherited, ...ignored, ...tokensOf(fields)]);
      }
      for (const [, name = '', fields = ''] of text.matchAll(/^(\w+) has no prefix: ([^;]*?)[;.]/gm)) {
        listed.set(name, tokensOf(fields));
      }
    }
    const ignored = listed.get('Ignored9 … Ignored19') ?? [];
    for (const [name, layout] of Object.entries(LOG_RECORD_LAYOUTS)) {
      if (name === 'FragmentBegin' || name === 'Fragment') continue;
      const tokens = name.startsWith('Ignored') ? ignored : (listed.get(name) ?? []);
      const { whole, partial } = layoutTokens(layout);
      const isPartial = (token: string): boolean => partial.includes(token.replace(/ \w+ /, ' '));
      expect([name, tokens.filter((token) => !isPartial(token)).sort()]).toEqual([name, whole]);
    }
  });
});

describe('the byte examples of the format specification', () => {
  const examples = byteExamples(readRepositoryFile('docs', 'file-format.md'));
  const example = (name: string): Uint8Array => examples.get(name) ?? new Uint8Array(0);

  it('are a header, log header and checkpoint that say what the text says', () => {
    expect(xorChecksum(example('header'))).toBe(0x22e2725a);
    expect(decodeDatabaseHeader(example('header'))).toMatchObject({
      checksum: 0x22e2725a,
      dbtimeDirtied: 0x1d4,
      state: 3,
      lgposConsistent: { generation: 1, isec: 0x13, ib: 0 },
      lgposAttach: { generation: 1, isec: 1, ib: 0x268 },
      objidLast: 11,
      updateMajor: 20,
      sortVersion: 0xffffffffffffffffn,
      fileType: 1,
    });
    expect(decodeLogHeader(example('log header'))).toMatchObject({
      generation: 1,
      csecLGFile: 0x40,
      updateMajor: 5,
      updateMinor: 16,
      efvEngine: 9180,
    });
    const copies = new Uint8Array(8192);
    copies.set(example('checkpoint'));
    expect(decodeCheckpoint(copies).lgposCheckpoint).toEqual({ generation: 1, isec: 0x14, ib: 0 });
  });

  it.each([3, 31])('are page %i with a right checksum and a sound structure', (pgno) => {
    const bytes = example(`page ${pgno}`);
    expect(diagnosePage(bytes, pgno).verdict).toBe('ok');
    expect(checkPageStructure(new Page(bytes, pgno))).toBeUndefined();
  });

  it('are log segments with the records that the text names', () => {
    expect(judgeSegment(example('segment 18'), 18, 1)).toBe('valid');
    expect(isShadowOf(example('segment 20'), 20, 1)).toBe(true);
    const cursor = new LogRecordCursor(1, 4096);
    const bytes = example('segment 18');
    cursor.feed(bytes, new DataView(bytes.buffer), 0, 1);
    const records: string[] = [];
    while (cursor.next()) records.push(`${cursor.ib.toString(16)} ${cursor.record().name}`);
    expect(records).toEqual(['0 Begin0', '30 Insert', '9b Insert', 'e3 Insert', '11c Commit0', '124 NOP2']);
  });

  it('are what the engine makes', () => {
    const { disk, instance } = createExampleDatabase();
    instance.close();
    const made = new Uint8Array(4096);
    const file = disk.open(`${EXAMPLE}/people.edb`, 'read');
    file.readAt(made, 32 * 4096);
    file.close();
    const nodes = (bytes: Uint8Array): string[] => {
      const page = new Page(bytes, 31);
      const node = createNodeView();
      return Array.from({ length: page.nodeCount }, (_, line) => {
        page.readNode(line, node);
        return `${hexOf(page.key(node))} ${hexOf(page.data(node))}`;
      });
    };
    expect(nodes(made)).toEqual(nodes(example('page 31')));
  });

  it.each([
    ['V13', 4096],
    ['V14', 16384],
  ])('hold for vector %s', (name, pageSize) => {
    const block =
      new RegExp(`^${name},[^]*?\`\`\`text\n([^\`]*)\`\`\``, 'm').exec(section('1.11'))?.[1] ?? '';
    const part = (label: string): Uint8Array =>
      bytesOf(/^.*$/m.exec(block.split(label)[1]?.replace(/\(.*|, zeros.*/, '') ?? '')?.[0] ?? '');
    const page = new Uint8Array(pageSize);
    page.set(part('header'));
    if (pageSize > 8192) page.set(part('at 40'), 40);
    page.set(part('data'), pageSize > 8192 ? 80 : 40);
    page.set(part('tags'), pageSize - 12);
    expect(diagnosePage(page, 7).verdict).toBe('ok');
    const view = new Page(page, 7);
    const node = createNodeView();
    view.readNode(0, node);
    expect([hexOf(view.key(node)), hexOf(view.data(node))]).toEqual(['41424344454647', '68656c6c6f']);
    expect([view.pgnoPrev, view.pgnoNext, view.objid, view.dbtime]).toEqual([6, 8, 30, 0x1234]);
  });

  it('hold for compressed values', () => {
    const hexIn = (number: string, pattern: RegExp): Uint8Array =>
      bytesOf(pattern.exec(section(number).replaceAll('\n', ' '))?.[1] ?? '');
    const xpress = hexIn('3.3.3', /`abc` repeated = `([0-9a-f ]+)`/);
    expect(Buffer.from(decompressToNew(xpress, 0, xpress.length)).toString()).toBe('abc'.repeat(20));
    const ascii = hexIn('3.6.3', /scheme 1 `([0-9a-f ]+)`/);
    expect(Buffer.from(decompressToNew(ascii, 0, ascii.length)).toString()).toBe(`Record${' '.repeat(10)}0`);
    const unicode = Uint8Array.from([0x16, ...ascii.subarray(1)]);
    expect(Buffer.from(decompressToNew(unicode, 0, unicode.length)).toString('utf16le')).toBe(
      `Record${' '.repeat(10)}0`,
    );
  });
});
