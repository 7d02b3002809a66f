import {
  decodeSpaceHeader,
  decodeSplitBuffer,
  type Extent,
  hasMultipleExtents,
  readExtents,
  SPACE_POOL,
  type SpaceHeader,
  singleExtentAvailable,
} from '../format/space.js';
import type { PageSource } from './page-source.js';
import { type TreeRoot, walkTree } from './tree-reader.js';

/** The space of one tree as its root and its OE and AE trees tell it (format specification, chapter 2.2). */
export interface TreeSpace {
  readonly header: SpaceHeader;
  /** Owned extents in page order. A single-extent tree has one: its primary extent. */
  readonly owned: readonly Extent[];
  /** Available extents of all pools. */
  readonly available: readonly Extent[];
  /** Pages kept to split the space trees themselves. */
  readonly splitBuffers: readonly Extent[];
  /** Pages of the OE and AE trees. */
  readonly spaceTreePages: readonly number[];
}

function extentOf(pgno: number): Extent {
  return { first: pgno, last: pgno, count: 1, pool: SPACE_POOL.general };
}

/** Reads the space of a data tree. Throws the error of the first page or extent that is damaged. */
export function readTreeSpace(source: PageSource, root: TreeRoot): TreeSpace {
  const { pgnoFdp, objid } = root;
  const header = decodeSpaceHeader(source.readPage(pgnoFdp).externalHeader, pgnoFdp);
  if (!hasMultipleExtents(header)) {
    const count = Math.max(1, header.cpg);
    const owned = [{ first: pgnoFdp, last: pgnoFdp + count - 1, count, pool: SPACE_POOL.general }];
    const available = singleExtentAvailable(header, pgnoFdp).map(extentOf);
    const behindBitmap = pgnoFdp + 33;
    const last = pgnoFdp + count - 1;
    if (last >= behindBitmap) {
      available.push({ first: behindBitmap, last, count: last - behindBitmap + 1, pool: SPACE_POOL.general });
    }
    return { header, owned, available, splitBuffers: [], spaceTreePages: [] };
  }
  const owned: Extent[] = [];
  const available: Extent[] = [];
  const splitBuffers: Extent[] = [];
  const spaceTreePages: number[] = [];
  const readSpaceTree = (
    pgnoRoot: number,
    error: 'JET_errSPOwnExtCorrupted' | 'JET_errSPAvailExtCorrupted',
    into: Extent[],
  ): void => {
    splitBuffers.push(...decodeSplitBuffer(source.readPage(pgnoRoot).externalHeader));
    walkTree(
      source,
      { pgnoFdp: pgnoRoot, objid },
      {
        internal: (page) => spaceTreePages.push(page.pgno),
        leaf: (page) => {
          spaceTreePages.push(page.pgno);
          readExtents(page, error, into);
          return true;
        },
      },
    );
  };
  readSpaceTree(header.pgnoOe, 'JET_errSPOwnExtCorrupted', owned);
  readSpaceTree(header.pgnoOe + 1, 'JET_errSPAvailExtCorrupted', available);
  return { header, owned, available, splitBuffers, spaceTreePages };
}
