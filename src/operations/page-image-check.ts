import { EseError } from '../format/ese-error.js';
import { checkPageStructure, createNodeView, NODE_FLAG, PAGE_FLAG, Page } from '../format/page.js';
import { decodePageImage } from '../format/page-image.js';
import type { RecordOfType } from './node-operations.js';
import type { RedoContext } from './redo-context.js';

/**
 * Page images in split and merge records. They serve twice: to rebuild nodes from a page that is already
 * newer, and to prove redo right, since a page that redo arrived at must equal the image of it that the
 * original engine took at the same moment.
 */

const ROLE_FLAGS =
  PAGE_FLAG.root |
  PAGE_FLAG.leaf |
  PAGE_FLAG.parentOfLeaf |
  PAGE_FLAG.empty |
  PAGE_FLAG.spaceTree |
  PAGE_FLAG.index |
  PAGE_FLAG.longValue |
  PAGE_FLAG.nonUnique;

const STAMP_END = 16;

type ImageRecord = RecordOfType<'Split2' | 'Merge2'>;

/** The page in the image of a record, sound as a page. Throws `JET_errLogCorrupted`. */
export function imageOf(record: ImageRecord, context: RedoContext): Page {
  return soundImage(record, decodePageImage(record, context.pageSize));
}

function soundImage(record: ImageRecord, bytes: Uint8Array): Page {
  const page = new Page(bytes, record.pgno);
  const fault = checkPageStructure(page);
  if (fault !== undefined) {
    throw new EseError('JET_errLogCorrupted', `a logged page image is damaged: ${fault.what}`, {
      pgno: record.pgno,
    });
  }
  return page;
}

/**
 * Compares a page with the image that the log has of it, by what has meaning: nodes, external header, links,
 * tree and role (format specification, chapter 1.5.5). The version flag of a node has none.
 *
 * Throws `JET_errRecoveryVerifyFailure` when they differ: redo or the page went wrong before.
 */
export function checkAgainstImage(record: ImageRecord, page: Page, context: RedoContext): void {
  if (record.cbPreimage === 0) return;
  const image = decodePageImage(record, context.pageSize, SCRATCH.subarray(0, context.pageSize));
  if (isSameBut(image, page)) return;
  const difference = firstDifference(soundImage(record, image), page);
  if (difference === undefined) return;
  throw new EseError(
    'JET_errRecoveryVerifyFailure',
    `the page differs from its image in the log: ${difference}`,
    {
      pgno: page.pgno,
    },
  );
}

/** Whether image and page are the same, byte for byte, behind the checksum and the stamp. */
function isSameBut(image: Uint8Array, page: Page): boolean {
  return Buffer.compare(image.subarray(STAMP_END), page.bytes.subarray(STAMP_END)) === 0;
}

/** Room for the image of a page of any size. */
const SCRATCH = new Uint8Array(32768);
const imageNode = createNodeView();
const pageNode = createNodeView();

function firstDifference(image: Page, page: Page): string | undefined {
  if (image.objid !== page.objid) return `tree ${page.objid} instead of ${image.objid}`;
  if (((image.flags ^ page.flags) & ROLE_FLAGS) !== 0) {
    return `flags ${page.flags.toString(16)} instead of ${image.flags.toString(16)}`;
  }
  if (image.pgnoPrev !== page.pgnoPrev || image.pgnoNext !== page.pgnoNext) return 'other sibling pages';
  if (!bytesEqual(image.externalHeader, page.externalHeader)) return 'another external header';
  if (image.nodeCount !== page.nodeCount) return `${page.nodeCount} nodes instead of ${image.nodeCount}`;
  for (let line = 0; line < image.nodeCount; line++) {
    image.readNode(line, imageNode);
    page.readNode(line, pageNode);
    if (((imageNode.flags ^ pageNode.flags) & NODE_FLAG.deleted) !== 0) {
      return `node ${line} is deleted in one of them only`;
    }
    const sameEncoding =
      imageNode.prefixLength === pageNode.prefixLength &&
      sameBytes(
        image.bytes,
        imageNode.suffixOffset,
        imageNode.suffixLength,
        page.bytes,
        pageNode.suffixOffset,
        pageNode.suffixLength,
      );
    if (!sameEncoding && page.compareKey(pageNode, image.key(imageNode)) !== 0)
      return `another key of node ${line}`;
    if (
      !sameBytes(
        image.bytes,
        imageNode.dataOffset,
        imageNode.dataLength,
        page.bytes,
        pageNode.dataOffset,
        pageNode.dataLength,
      )
    ) {
      return `other data of node ${line}`;
    }
  }
  return undefined;
}

function sameBytes(
  a: Uint8Array,
  aOffset: number,
  aLength: number,
  b: Uint8Array,
  bOffset: number,
  bLength: number,
): boolean {
  if (aLength !== bLength) return false;
  for (let i = 0; i < aLength; i++) {
    if (a[aOffset + i] !== b[bOffset + i]) return false;
  }
  return true;
}

function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return sameBytes(a, 0, a.length, b, 0, b.length);
}
