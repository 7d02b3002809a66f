import { Page } from '../format/page.js';

/** A page in the memory of a buffer pool, with what the pool knows of it. */
export interface Frame {
  readonly page: Page;
  /** Number of its memory; -1 in a pool whose pages nobody else changes. */
  readonly slot: number;
  /** Its place among the frames of the pool. */
  index: number;
  isDirty: boolean;
  /** Changed since it came into memory. */
  isChanged: boolean;
  /** It came into memory without being read, since it was blank. */
  isFresh: boolean;
  /** Used since the clock hand passed. */
  isUsed: boolean;
  /** Position of the last record that changed it. */
  generation: number;
  isec: number;
  ib: number;
}

/** Where the frames of a pool come from. */
export interface FrameMemory {
  /** A clean frame for a page; what its memory holds has no meaning. */
  take(pgno: number): Frame;
  /** Nobody uses the frame any more. */
  give(frame: Frame): void;
}

/** Memory of pages that is got at once: one page at a time would be dear. */
const SLAB_BYTES = 256 * 1024;

/** Frames of which each has memory of its own: a page stays what it is for whoever holds it. */
export function createOwnFrames(pageSize: number): FrameMemory {
  return {
    take: (pgno) => cleanFrame(new Page(new Uint8Array(pageSize), pgno)),
    give: () => {},
  };
}

/**
 * Frames that serve again: the page of one that was given back becomes the next one. Only for those who know when
 * nobody holds a page.
 */
export function createReusedFrames(pageSize: number): FrameMemory {
  const unused: Frame[] = [];
  const grow = (): void => {
    // Nothing is to be read from a page before it was filled or built: that its memory is zeroed would be for nothing.
    const { buffer, byteOffset, length } = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, pageSize));
    for (let at = length - pageSize; at >= 0; at -= pageSize) {
      unused.push(cleanFrame(new Page(new Uint8Array(buffer, byteOffset + at, pageSize), 0)));
    }
  };
  return {
    take(pgno) {
      if (unused.length === 0) grow();
      const frame = unused.pop() ?? cleanFrame(new Page(new Uint8Array(pageSize), pgno));
      frame.page.pgno = pgno;
      frame.isDirty = false;
      frame.isChanged = false;
      frame.isFresh = false;
      frame.isUsed = true;
      return frame;
    },
    give(frame) {
      unused.push(frame);
    },
  };
}

function cleanFrame(page: Page): Frame {
  return {
    page,
    slot: -1,
    index: -1,
    isDirty: false,
    isChanged: false,
    isFresh: false,
    isUsed: true,
    generation: 0,
    isec: 0,
    ib: 0,
  };
}
