import {
  ATTACH_LIST_BYTES,
  type AttachInfo,
  type NewAttachInfo,
  readAttachList,
  writeAttachList,
} from './attach-info.js';
import { FILE_TYPE, FILE_TYPE_OFFSET, HEADER_MAGIC } from './database-header.js';
import { EseError } from './ese-error.js';
import {
  dbmsParam,
  type FieldsOf,
  i32,
  lgpos,
  logtime,
  readFields,
  signature,
  u8,
  u16,
  u32,
  u64,
  writeFields,
} from './log-record-field.js';
import { PAGE_SIZES } from './page.js';
import { xorChecksum } from './page-checksum.js';

/**
 * The header of a log file: its first 4096 bytes (format specification, chapter 4.2).
 *
 * The fields are named as the engine names them; the version is `major.minor.updateMajor.updateMinor`.
 */
export const LOG_HEADER_LAYOUT = {
  checksum: u32(0),
  /** Generation, from 1. */
  generation: i32(4),
  /** Size of a segment in bytes. */
  cbSec: u16(8),
  /** Size of the header in segments. */
  csecHeader: u16(10),
  /** Size of the file in segments. */
  csecLGFile: u16(12),
  /** Page size of the databases; 0 = 4096. See {@link logPageSize}. */
  cbPageSize: u16(14),
  tmCreate: logtime(16),
  /** `tmCreate` of the generation before; not set in generation 1. */
  tmPrevGen: logtime(24),
  major: u32(32),
  minor: u32(36),
  updateMajor: u32(40),
  signLog: signature(44),
  dbmsParam: dbmsParam(72),
  fLGFlags: u8(639),
  /** The checkpoint when this file was begun. */
  lgposCheckpoint: lgpos(640),
  updateMinor: u32(648),
  bDiskSecSizeMismatch: u8(652),
  /** XOR of the checksums of all data segments of the generation before; 0 = not available. */
  checksumPrevLogAllSegments: u64(653),
  efvEngine: u32(661),
  reserved665: u16(665),
  filetype: u32(FILE_TYPE_OFFSET),
};

export interface LogHeader extends FieldsOf<typeof LOG_HEADER_LAYOUT> {
  /** The databases that were attached when this file was begun. */
  readonly attachments: readonly AttachInfo[];
}

export const LOG_HEADER_BYTES = 4096;

const OFFSET_ATTACHMENTS = 671;
const OFFSET_PADDING = OFFSET_ATTACHMENTS + ATTACH_LIST_BYTES;

/** Bits of `fLGFlags` (chapter 4.2). */
export const LOG_FLAG = { reserve: 0x01, circular: 0x02, circularBefore: 0x04 } as const;

/** Segment formats: 8.4000 has segments with ECC, 7.3704 the older checksum records (chapter 4.3). */
export const LOG_MAJOR = 8;
export const LOG_MINOR = 4000;
const LOG_MAJOR_7 = 7;
const LOG_MINOR_7 = 3704;
/** The highest update-majors of both that are documented (chapter 4.3). */
const UPDATE_MAJOR_MAX = 130;
const UPDATE_MAJOR_MAX_7 = 17;

const CB_SEC = 4096;
const CB_SEC_MIN_7 = 512;
/** Header, one data segment, and the last segment, which only ever holds a shadow. */
const SEGMENTS_MIN = 3;
/** Highest generation, those included that only recovery may use (chapter 4.1.1). */
export const GENERATION_MAX = 0x7ffffa00;

const DEFAULT_PAGE_SIZE = 4096;

/**
 * Decodes and checks the header of a log file.
 *
 * @param bytes the first 4096 bytes of the file, fewer if it is shorter
 * @throws EseError JET_errFileInvalidType for another kind of ESE file, JET_errLogFileCorrupt for a damaged
 *   header, JET_errBadLogVersion for a format that is not known, JET_errLogSectorSizeMismatch for an
 *   impossible segment size
 */
export function decodeLogHeader(bytes: Uint8Array): LogHeader {
  if (bytes.length < LOG_HEADER_BYTES) {
    throw new EseError('JET_errLogFileCorrupt', 'the file is shorter than a log header');
  }
  const header = bytes.subarray(0, LOG_HEADER_BYTES);
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const fields = readFields(LOG_HEADER_LAYOUT, { bytes: header, view, offset: 0, size: LOG_HEADER_BYTES });
  if (fields.checksum !== logHeaderChecksum(header)) {
    // A database of large pages has its checksum elsewhere: say what it is rather than "damaged".
    if (view.getUint32(4, true) === HEADER_MAGIC) throw wrongType(fields.filetype);
    throw new EseError('JET_errLogFileCorrupt', 'the checksum of the log header is wrong');
  }
  if (fields.filetype !== FILE_TYPE.log && fields.filetype !== FILE_TYPE.unknown)
    throw wrongType(fields.filetype);
  checkVersion(fields);
  checkSizes(fields);
  return { ...fields, attachments: readAttachList(header, OFFSET_ATTACHMENTS) };
}

/** A header to be written. */
export interface NewLogHeader extends Omit<LogHeader, 'checksum' | 'attachments'> {
  readonly attachments: readonly NewAttachInfo[];
}

/**
 * Encodes the header of a log file, checksum included: 4096 bytes.
 *
 * @throws EseError JET_errTooManyAttachedDatabases if the list of databases does not fit
 */
export function encodeLogHeader(header: NewLogHeader): Uint8Array {
  const bytes = new Uint8Array(LOG_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  const record = { bytes, view, offset: 0, size: LOG_HEADER_BYTES };
  writeFields(LOG_HEADER_LAYOUT, record, { ...header, checksum: 0 });
  writeAttachList(bytes, OFFSET_ATTACHMENTS, header.attachments);
  view.setUint32(0, logHeaderChecksum(bytes), true);
  return bytes;
}

/** The checksum that a header should carry. */
export function logHeaderChecksum(header: Uint8Array): number {
  return xorChecksum(header.subarray(0, LOG_HEADER_BYTES));
}

/** Whether the bytes behind the list of attachments are zero, as every engine leaves them. */
export function isLogHeaderPaddingZero(header: Uint8Array): boolean {
  for (let i = OFFSET_PADDING; i < LOG_HEADER_BYTES; i++) {
    if (header[i] !== 0) return false;
  }
  return true;
}

function wrongType(filetype: number): EseError {
  return new EseError('JET_errFileInvalidType', `this is no log file (file type ${filetype})`);
}

function checkVersion(header: FieldsOf<typeof LOG_HEADER_LAYOUT>): void {
  const { major, minor, updateMajor } = header;
  const isKnown =
    (major === LOG_MAJOR && minor === LOG_MINOR && updateMajor <= UPDATE_MAJOR_MAX) ||
    (major === LOG_MAJOR_7 && minor === LOG_MINOR_7 && updateMajor <= UPDATE_MAJOR_MAX_7);
  if (!isKnown) {
    throw new EseError('JET_errBadLogVersion', `log format ${formatLogVersion(header)} is not supported`);
  }
}

function checkSizes(header: FieldsOf<typeof LOG_HEADER_LAYOUT>): void {
  const { major, generation, cbSec, csecHeader, csecLGFile, cbPageSize } = header;
  const isSegmentSize =
    major === LOG_MAJOR ? cbSec === CB_SEC : cbSec >= CB_SEC_MIN_7 && cbSec <= CB_SEC && isPowerOfTwo(cbSec);
  if (!isSegmentSize) {
    throw new EseError('JET_errLogSectorSizeMismatch', `a log has no segments of ${cbSec} bytes`);
  }
  const problem =
    csecHeader * cbSec !== LOG_HEADER_BYTES
      ? `a header of ${csecHeader} segments`
      : csecLGFile < SEGMENTS_MIN
        ? `a file of ${csecLGFile} segments`
        : generation < 1 || generation > GENERATION_MAX
          ? `generation ${generation}`
          : cbPageSize !== 0 && !PAGE_SIZES.includes(cbPageSize)
            ? `pages of ${cbPageSize} bytes`
            : undefined;
  if (problem !== undefined) throw new EseError('JET_errLogFileCorrupt', `the log header states ${problem}`);
}

function isPowerOfTwo(n: number): boolean {
  return (n & (n - 1)) === 0;
}

/** `8.4000.5.16`: the format version as engines and tools write it. */
export function formatLogVersion(
  header: Pick<LogHeader, 'major' | 'minor' | 'updateMajor' | 'updateMinor'>,
): string {
  return `${header.major}.${header.minor}.${header.updateMajor}.${header.updateMinor}`;
}

/** Page size of the databases in bytes. */
export function logPageSize(header: LogHeader): number {
  return header.cbPageSize || DEFAULT_PAGE_SIZE;
}

/** Size that the file must have, in bytes (chapter 4.1.2). */
export function logFileBytes(header: LogHeader): number {
  return header.csecLGFile * header.cbSec;
}
