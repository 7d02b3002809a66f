import type { Lgpos } from './ese-error.js';

/** Size of an LGPOS in a file: u16 byte in sector, u16 sector, i32 generation (chapter 1.2.1). */
export const LGPOS_BYTES = 8;

/** The log position that means "none". */
export const LGPOS_NONE: Lgpos = { generation: 0, isec: 0, ib: 0 };

/** Decodes the LGPOS at `offset`. */
export function readLgpos(view: DataView, offset: number): Lgpos {
  return {
    ib: view.getUint16(offset, true),
    isec: view.getUint16(offset + 2, true),
    generation: view.getInt32(offset + 4, true),
  };
}

/** Encodes an LGPOS at `offset`. */
export function writeLgpos(view: DataView, offset: number, lgpos: Lgpos): void {
  view.setUint16(offset, lgpos.ib, true);
  view.setUint16(offset + 2, lgpos.isec, true);
  view.setInt32(offset + 4, lgpos.generation, true);
}
