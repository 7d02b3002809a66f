import type { ChecksumKernel } from '../../format/checksum-kernel.js';
import { BULK_WASM } from './bulk-wasm.js';

/**
 * The loops over nodes in WebAssembly (kernel/bulk.ts), on memory of a checksum kernel. Without WebAssembly there is
 * none, and {@link PendingNodes} and the check of pages do the same in TypeScript.
 */
export interface BulkKernel {
  /**
   * Whether the leaf at `offset` is sound as such. False also where `checkPageStructure` has to look.
   *
   * @param scratch offset of {@link soundScratchBytes}, all zero
   */
  isSoundLeaf(offset: number, pageSize: number, scratch: number): boolean;
  /** The others work on the state of a level, whose offset is `state`; see kernel/bulk.ts. */
  addLeaf(state: number, offset: number, pageSize: number, from: number): number;
  choose(state: number, count: number): number;
  compose(
    state: number,
    offset: number,
    pageSize: number,
    count: number,
    prefixLine: number,
    externalBytes: number,
  ): number;
}

/** Memory that {@link BulkKernel.isSoundLeaf} needs, in bytes. */
export function soundScratchBytes(pageSize: number): number {
  return 2 * pageSize;
}

interface Exports {
  isSoundLeaf(page: number, pageSize: number, sizeAt: number): number;
  addLeaf(state: number, page: number, pageSize: number, from: number): number;
  choose(state: number, count: number): number;
  compose(
    state: number,
    page: number,
    pageSize: number,
    count: number,
    prefixLine: number,
    externalBytes: number,
  ): number;
}

let compiled: WebAssembly.Module | undefined;

/** The kernel for the memory of a checksum kernel; undefined where that is no WebAssembly. */
export function createBulkKernel({ memory, bytes }: ChecksumKernel): BulkKernel | undefined {
  if (memory === undefined) return undefined;
  compiled ??= new WebAssembly.Module(Buffer.from(BULK_WASM, 'base64'));
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
  const { isSoundLeaf, addLeaf, choose, compose } = exports as unknown as Exports;
  const base = bytes.byteOffset;
  return {
    isSoundLeaf: (offset, pageSize, scratch) => isSoundLeaf(base + offset, pageSize, base + scratch) !== 0,
    addLeaf: (state, offset, pageSize, from) => addLeaf(base + state, base + offset, pageSize, from),
    choose: (state, count) => choose(base + state, count),
    compose: (state, offset, pageSize, count, prefixLine, externalBytes) =>
      compose(base + state, base + offset, pageSize, count, prefixLine, externalBytes),
  };
}
