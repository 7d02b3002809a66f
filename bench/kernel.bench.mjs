import { crc32 } from 'node:zlib';
import { createChecksumKernel } from '../dist/format/checksum-kernel.js';
import { newPageScan } from '../dist/format/page-checksum.js';
import { fillWithNoise } from './checksum-data.mjs';
import { compare, importPeer } from './harness.mjs';

/**
 * The checksum kernel on pages in memory, against its TypeScript twin and other checksums. The peers
 * hash the same bytes page by page; they find no flipped bit.
 */

const BUFFER_BYTES = 2 * 1024 * 1024;
const BYTES_PER_ROUND = 512 * 1024 * 1024;

const xxhash = /** @type {{ default: () => Promise<{ h64Raw(bytes: Uint8Array): bigint }> } | undefined} */ (
  await importPeer('xxhash-wasm')
);
const h64Raw = (await xxhash?.default())?.h64Raw;

for (const pageSize of [4096, 8192, 32768]) {
  const pageCount = BUFFER_BYTES / pageSize;
  /** @param {(pageCount: number) => unknown} once */
  const repeat = (once) => () => {
    for (let done = 0; done < BYTES_PER_ROUND; done += BUFFER_BYTES) once(pageCount);
  };
  /** @param {'js' | 'wasm'} kind */
  const kernel = (kind) => {
    const made = createChecksumKernel(BUFFER_BYTES, kind);
    fillWithNoise(new Int32Array(made.bytes.buffer, made.bytes.byteOffset, BUFFER_BYTES / 4), 1);
    made.sealPages(0, pageCount, pageSize, 1);
    const scan = newPageScan();
    return {
      name: `kernel ${kind}`,
      run: repeat(() => {
        if (made.verifyPages(0, pageCount, pageSize, 1, scan) !== 0) throw new Error('a page is not valid');
      }),
    };
  };
  const bytes = new Uint8Array(BUFFER_BYTES);
  fillWithNoise(new Int32Array(bytes.buffer), 1);
  /** @param {(page: Uint8Array) => unknown} hash */
  const byPage = (hash) =>
    repeat(() => {
      for (let at = 0; at < BUFFER_BYTES; at += pageSize) hash(bytes.subarray(at, at + pageSize));
    });
  const peers = [{ name: 'zlib.crc32 (native)', run: byPage(crc32) }];
  if (h64Raw !== undefined) peers.push({ name: 'xxhash-wasm h64', run: byPage(h64Raw) });
  await compare(`Verify pages of ${pageSize / 1024} KiB, 2 MiB in the cache, one thread`, BYTES_PER_ROUND, [
    kernel('js'),
    kernel('wasm'),
    ...peers,
  ]);
}
