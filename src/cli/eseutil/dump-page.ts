/** `/m … /p<pgno>`, `/n<pgno>:<line>`, `/i<pgno>:<itag>`: one page, node or tag (format specification, chapter 6.2.6). */

import {
  dumpPage,
  type ExternalReport,
  type PageChecksumReport,
  type PageHeaderReport,
  type PageNodeReport,
  type PageOptions,
  type PageReport,
} from '../../maintenance/dump-page.js';
import { forcedPageSize, type Mode, type ModeContext, switchValue } from '../mode.js';
import { refuseLocked } from '../shared-read.js';
import type { ModeCommand } from '../slash-command.js';
import { requireKind, sourceFile } from '../typed-path.js';
import { UsageError } from '../usage-error.js';
import { printHeaderFields } from './dump-header.js';

export const dumpPageMode: Mode = {
  heading: 'FILE DUMP',
  run: (context) => {
    const { host, command, say } = context;
    const file = sourceFile(host, command.positional, 'source file');
    const { pgno, options } = wantedPage(command);
    say(`      Database: ${command.positional}`);
    say(`          Page: ${pgno}`);
    say();
    refuseLocked(host, file, command.long.has('shared'), context.warn);
    const pageSize = forcedPageSize(command);
    // With a page size the user insists: pages are shown whatever the header says.
    if (pageSize === undefined) requireKind(host, file, 'database');
    const report = dumpPage(host.fs, file, pgno, { ...options, pageSize });
    printPage(say, report, options);
    if (report.databaseHeader !== undefined) printHeaderFields(context, report.databaseHeader);
    return { result: report };
  },
};

/** Decimal, `0x` hexadecimal, or octal with a leading zero. */
function parseNumber(text: string): number {
  if (/^0x/i.test(text)) return Number.parseInt(text.slice(2), 16);
  if (/^0[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  return Number(text);
}

function parseHex(text: string | null | undefined, letter: string): Uint8Array | undefined {
  if (text === undefined || text === null) return undefined;
  if (!/^(?:[0-9a-f]{2})+$/i.test(text))
    throw new UsageError(`Usage Error: Invalid option '/${letter}${text}'.`);
  return Buffer.from(text, 'hex');
}

/** The page number under which the primary header is shown. */
const PGNO_HEADER = -1;

function wantedPage(command: ModeCommand): { pgno: number; options: PageOptions } {
  const node = switchValue(command, 'n');
  if (typeof node === 'string') {
    const [line = '', pgno = ''] = node.replace(/[[\]]/g, '').split(':').reverse();
    return { pgno: parseNumber(pgno), options: { line: parseNumber(line) } };
  }
  const tag = switchValue(command, 'i');
  if (typeof tag === 'string') {
    const [pgno = '', itag = ''] = tag.split(':');
    return { pgno: parseNumber(pgno), options: { tag: parseNumber(itag) } };
  }
  const page = switchValue(command, 'p') ?? '';
  if (page.includes(':')) throw new UsageError(`Usage Error: Invalid option '/p${page}'. It names one page.`);
  const pgno = parseNumber(page);
  if (pgno < PGNO_HEADER) {
    throw new UsageError(`Usage Error: Invalid option '/p${page}'.`, ['-1 is the header, 0 its shadow']);
  }
  return {
    pgno,
    options: {
      key: parseHex(switchValue(command, 'k'), 'k'),
      data: parseHex(switchValue(command, 'd'), 'd'),
    },
  };
}

type Say = ModeContext['say'];

function hex64(value: string): string {
  return `0x${BigInt(value).toString(16).padStart(16, '0')}`;
}

function printPage(say: Say, report: PageReport, options: PageOptions): void {
  printChecksum(say, report.checksum);
  if (report.uninitialized) say('\t****** the page is blank: it was never used ******');
  say();
  if (report.header !== null) {
    printHeader(say, report, report.header);
    say();
  }
  for (const node of report.nodes) say(tagLine(node));
  if (options.key === undefined && options.line === undefined && options.tag === undefined) return;
  for (const node of report.nodes) {
    say();
    if (node.key !== undefined) printBytes(say, 'key', node.key);
    printBytes(say, 'data', node.data ?? '');
  }
}

const CHECKSUM_KINDS: Readonly<Record<PageChecksumReport['kind'], string>> = {
  header: 'header page checksum format',
  xorOld: 'old checksum format',
  eccXor: 'new checksum format',
  large: 'new checksum format',
};

function printChecksum(say: Say, checksum: PageChecksumReport): void {
  const joined = (values: readonly string[]) => values.map(hex64).join(':');
  if (checksum.kind === 'large') say(`\tHEADER checksum = ${joined(checksum.stored)}`);
  else say(`\theader checksum       = ${joined(checksum.stored)}`);
  say(`\t\t${CHECKSUM_KINDS[checksum.kind]}`);
  if (checksum.kind === 'eccXor') {
    const stored = BigInt(checksum.stored[0] ?? 0);
    const half = (value: bigint) => `0x${(value & 0xffff_ffffn).toString(16).padStart(8, '0')}`;
    say(`\t\t\theader ECC checksum = ${half(stored >> 32n)}`);
    say(`\t\t\theader XOR checksum   = ${half(stored)}`);
  }
  if (checksum.ok) return;
  say('\t****** checksum mismatch ******');
  say(`\tcomputed checksum     = ${joined(checksum.computed)}`);
  const bit = checksum.correctableBit;
  say(`\tchecksum error is ${bit === null ? 'NOT ' : ''}correctable`);
  if (bit !== null) say(`\tbit ${bit} is corrupted`);
  if (checksum.looksLikePgno !== undefined) say(`\tperhaps this is actually page ${checksum.looksLikePgno}`);
}

/** Offsets and sizes of the header fields, for the addresses in front of their values (chapter 1.3). */
const HEADER_FIELDS: readonly (readonly [name: string, offset: number, size: number])[] = [
  ['checksum', 0, 8],
  ['dbtimeDirtied', 8, 8],
  ['pgnoPrev', 16, 4],
  ['pgnoNext', 20, 4],
  ['objidFDP', 24, 4],
  ['cbFree', 28, 2],
  ['cbUncommittedFree', 30, 2],
  ['ibMicFree', 32, 2],
  ['itagState', 34, 2],
  ['fFlags', 36, 4],
];
const LABEL_WIDTH = 24;

function printHeader(say: Say, report: PageReport, header: PageHeaderReport): void {
  const values: Readonly<Record<string, bigint>> = {
    checksum: BigInt.asIntN(64, BigInt(report.checksum.stored[0] ?? 0)),
    dbtimeDirtied: BigInt(header.dbtime),
    pgnoPrev: BigInt(header.pgnoPrev),
    pgnoNext: BigInt(header.pgnoNext),
    objidFDP: BigInt(header.objid),
    cbFree: BigInt(header.cbFree),
    cbUncommittedFree: BigInt(header.cbUncommittedFree),
    ibMicFree: BigInt(header.ibMicFree),
    itagState: BigInt(header.tagCount),
    fFlags: BigInt(header.flags),
  };
  for (const [name, offset, size] of HEADER_FIELDS) {
    const value = values[name] ?? 0n;
    const raw = BigInt.asUintN(64, value).toString(16).toUpperCase();
    const address = (report.offset + offset).toString(16).toUpperCase();
    say(`\t${name.padStart(LABEL_WIDTH)} <0x${address}, ${String(size).padStart(2)}>:  ${value} (0x${raw})`);
  }
  for (const line of flagWords(header, report.external)) say(line);
}

/** What the flags mean, in words. */
function flagWords(header: PageHeaderReport, external: ExternalReport | null): string[] {
  const has = (name: string) => header.flagNames.includes(name);
  const lines: string[] = [];
  if (has('leaf')) lines.push('Leaf page');
  if (has('parentOfLeaf')) lines.push('Parent of leaf');
  if (!has('leaf') && !has('empty') && !has('preInit')) lines.push('Internal page');
  if (has('root')) lines.push('Root page');
  if (external?.kind === 'space') lines.push('FDP page', `\t${spaceWords(external)}`);
  if (has('empty')) lines.push('Empty page');
  if (has('preInit')) lines.push('Pre-init page');
  if (has('spaceTree')) lines.push('Space tree page');
  if (has('index')) lines.push(`Index page (${has('nonUnique') ? 'non-unique' : 'unique'} keys)`);
  if (has('longValue')) lines.push('Long Value page');
  if (!has('index') && !has('longValue') && !has('spaceTree')) lines.push('Primary page');
  if (has('scrubbed')) lines.push('Scrubbed');
  if (has('newChecksum')) lines.push('New checksum format');
  return lines.map((line) => `\t\t${line}`);
}

function spaceWords(external: ExternalReport & { kind: 'space' }): string {
  const { pgnoParent, cpg, pgnoOe, availableBitmap, autoIncrement } = external;
  const counter = autoIncrement === undefined ? '' : `, AutoInc: ${autoIncrement}`;
  return external.extent === 'multiple'
    ? `Multiple Extent Space (ParentFDP: ${pgnoParent}, pgnoOE: ${pgnoOe}${counter})`
    : `Single Extent Space (ParentFDP: ${pgnoParent}, cpg: ${cpg}, avail: 0x${(availableBitmap ?? 0).toString(16)}${counter})`;
}

const NODE_PARTS_WIDTH = 48;

function tagLine(node: PageNodeReport): string {
  const hex = (value: number) => `0x${value.toString(16).padStart(4, '0')}`;
  const dataSize = node.data === undefined ? 0 : node.data.length / 2;
  const parts =
    node.key === undefined
      ? ''
      : `prefix:cb=${hex(node.prefixSize)} suffix:cb=${hex(node.suffixSize)} data:cb=${hex(dataSize)}`;
  const letter = (flag: string) => (node.flags.includes(flag) ? flag : ' ');
  const bits =
    (node.flags.includes('v') ? 1 : 0) |
    (node.flags.includes('d') ? 2 : 0) |
    (node.flags.includes('c') ? 4 : 0);
  const { extent, child } = node;
  const meaning =
    extent !== undefined
      ? ` SP: ${extent.pool}: ${extent.last - extent.first + 1},${extent.first}-${extent.last}`
      : child !== undefined
        ? ` pgno: ${child}`
        : '';
  return (
    `TAG ${String(node.tag).padStart(3)}: cb:${hex(node.size)},ib:${hex(node.dataAreaOffset)} ` +
    `${parts.padEnd(NODE_PARTS_WIDTH)} offset:${hex(node.offset)}-${hex(node.offset + node.size)} ` +
    `flags:${hex(bits)} (${letter('v')}${letter('d')}${letter('c')})${meaning}${node.damage === undefined ? '' : ` DAMAGED: ${node.damage}`}`
  );
}

const BYTES_PER_LINE = 16;

/** Offset, hexadecimal and printable characters. */
function printBytes(say: Say, what: string, hex: string): void {
  const bytes = Buffer.from(hex, 'hex');
  say(`\t${what} (${bytes.length} bytes):`);
  for (let at = 0; at < bytes.length; at += BYTES_PER_LINE) {
    const part = bytes.subarray(at, at + BYTES_PER_LINE);
    const digits = [...part].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = [...part]
      .map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'))
      .join('');
    say(`\t\t${at.toString(16).padStart(4, '0')}  ${digits.padEnd(3 * BYTES_PER_LINE - 1)}  ${text}`);
  }
}
