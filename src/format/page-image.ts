import { decompress } from './compression.js';
import { writeDbtime } from './dbtime.js';
import { EseError } from './ese-error.js';
import type { LogRecordOf } from './log-record.js';
import { PREIMAGE_FLAG } from './log-record-layout.js';
import { type Page, pageHeaderBytes } from './page.js';

/**
 * Page images in log records (format specification, chapter 4.6.6): what a page held before a split, merge or
 * move, so that redo does not depend on the order in which pages were written.
 *
 * An image may be compressed as a column value is, and *dehydrated*: the gap between the nodes and the tags is
 * cut out. Its stamp is that of the record, its page checksum is stale.
 */

const OFFSET_CB_FREE = 28;
const OFFSET_ITAG_STATE = 34;
const TAG_COUNT_MASK = 0x0fff;
const TAG_BYTES = 4;

function corrupt(detail: string): EseError {
  return new EseError('JET_errLogCorrupted', detail);
}

/**
 * The page image in a split or merge record, expanded to a whole page.
 *
 * @param out a buffer of `pageSize` bytes to be filled, if the image is to have no memory of its own
 * @throws EseError JET_errLogCorrupted if the image does not give a page of this size,
 *   JET_errDecompressionFailed if it cannot be expanded
 */
export function decodePageImage(
  record: LogRecordOf<'Split2'> | LogRecordOf<'Merge2'>,
  pageSize: number,
  out: Uint8Array = new Uint8Array(pageSize),
): Uint8Array {
  const { preimage, preimageFlags } = record;
  if (preimage.length === 0) throw corrupt('the record has no page image');
  let size = preimage.length;
  if ((preimageFlags & PREIMAGE_FLAG.compressed) !== 0) {
    size = decompress(preimage, 0, size, out, 0);
  } else if (size <= pageSize) {
    out.set(preimage);
  }
  if ((preimageFlags & PREIMAGE_FLAG.dehydrated) !== 0) {
    rehydrate(out, size, pageSize);
  } else if (size !== pageSize) {
    throw corrupt(`a page image has ${size} bytes instead of ${pageSize}`);
  }
  return out;
}

/** Moves the tags of a dehydrated image of `size` bytes to the end of its page. */
function rehydrate(page: Uint8Array, size: number, pageSize: number): void {
  const header = pageHeaderBytes(pageSize);
  if (size > pageSize || size < header) throw corrupt(`a dehydrated page image has ${size} bytes`);
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const tags = (view.getUint16(OFFSET_ITAG_STATE, true) & TAG_COUNT_MASK) * TAG_BYTES;
  if (header + tags > size) throw corrupt('a dehydrated page image is too short for its tags');
  page.copyWithin(pageSize - tags, size - tags, size);
  page.fill(0, size - tags, pageSize - tags);
  view.setUint16(OFFSET_CB_FREE, view.getUint16(OFFSET_CB_FREE, true) + pageSize - size, true);
}

/** A page image as a record carries it. */
export interface EncodedPageImage {
  readonly preimage: Uint8Array;
  readonly preimageFlags: number;
}

/** An image is dehydrated only if that saves at least this share of the page (chapter 4.6.6). */
const DEHYDRATED_SHARE = 10;
const OFFSET_DBTIME = 8;

/** The image of a page that a record with stamp `dbtime` is about to change. */
export function encodePageImage(page: Page, dbtime: number): EncodedPageImage {
  const { bytes, pageSize, tagCount } = page;
  const gap = page.contiguousFree;
  const isDehydrated = gap * DEHYDRATED_SHARE >= pageSize;
  const preimage = isDehydrated ? new Uint8Array(pageSize - gap) : bytes.slice();
  const view = new DataView(preimage.buffer);
  if (isDehydrated) {
    const tags = tagCount * TAG_BYTES;
    preimage.set(bytes.subarray(0, pageSize - gap - tags));
    preimage.set(bytes.subarray(pageSize - tags), pageSize - gap - tags);
    view.setUint16(OFFSET_CB_FREE, page.cbFree - gap, true);
  }
  writeDbtime(view, OFFSET_DBTIME, dbtime);
  return { preimage, preimageFlags: isDehydrated ? PREIMAGE_FLAG.dehydrated : 0 };
}

/**
 * The page that a PageMove record carries: its start and its end, with nothing in between.
 *
 * @param out as in {@link decodePageImage}
 * @throws EseError JET_errLogCorrupted if both parts do not fit a page of this size
 */
export function decodeMovedPage(
  record: LogRecordOf<'PageMove'>,
  pageSize: number,
  out: Uint8Array = new Uint8Array(pageSize),
): Uint8Array {
  const { pageHeader, pageTrailer } = record;
  if (pageHeader.length < pageHeaderBytes(pageSize) || pageHeader.length + pageTrailer.length > pageSize) {
    throw corrupt(`the parts of a moved page have ${pageHeader.length} and ${pageTrailer.length} bytes`);
  }
  out.fill(0, 0, pageSize);
  out.set(pageHeader, 0);
  out.set(pageTrailer, pageSize - pageTrailer.length);
  return out;
}
