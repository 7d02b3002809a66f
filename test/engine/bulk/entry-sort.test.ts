import { describe, expect, it } from 'vitest';
import { EntrySort } from '../../../src/engine/bulk/entry-sort.js';
import { randomBelow, seededRandom } from '../../../src/io/seeded-random.js';
import { createSimulatedDisk } from '../../../src/io/simulated-disk.js';
import { putFile } from '../../support/files.js';

interface Entry {
  readonly key: Buffer;
  readonly data: Buffer;
}

/** Entries with many equal keys, and some that are equal altogether. */
function entries(count: number): Entry[] {
  const random = seededRandom(3);
  const bytes = (most: number, values: number): Buffer =>
    Buffer.from(Array.from({ length: randomBelow(random, most + 1) }, () => randomBelow(random, values)));
  return Array.from({ length: count }, () => ({ key: bytes(6, 3), data: bytes(40, 256) }));
}

function listOf(sort: EntrySort): string[] {
  const list: string[] = [];
  // Each is valid until the next.
  for (const { bytes, keyStart, keyLength, dataLength } of sort.sorted()) {
    const key = Buffer.from(bytes.subarray(keyStart, keyStart + keyLength)).toString('hex');
    const data = Buffer.from(bytes.subarray(keyStart + keyLength, keyStart + keyLength + dataLength));
    list.push(`${key} ${data.toString('hex')}`);
  }
  return list;
}

describe('sorting nodes', () => {
  it.each([1_000_000, 20_000, 3_000, 400])('by key, then by data, with %i bytes of memory', (memory) => {
    const disk = createSimulatedDisk();
    putFile(disk, '/sort', Uint8Array.of(1, 2, 3));
    const sort = new EntrySort(disk, '/sort', memory);
    const all = entries(2000);
    for (const { key, data } of all) {
      // The data may lie anywhere in what is given.
      const around = Buffer.concat([Buffer.from([9, 9]), data, Buffer.from([9])]);
      sort.add(Buffer.concat([key, Buffer.from([77])]), key.length, around, 2, 2 + data.length);
    }
    const expected = [...all]
      .sort((a, b) => Buffer.compare(a.key, b.key) || Buffer.compare(a.data, b.data))
      .map(({ key, data }) => `${key.toString('hex')} ${data.toString('hex')}`);
    expect(sort.size).toBe(2000);
    expect(listOf(sort)).toEqual(expected);
    // A second time it is the same.
    expect(listOf(sort)).toEqual(expected);
    const spills = memory < 1_000_000;
    expect(disk.stat('/sort').size > 3).toBe(spills);
    sort.close();
    expect(disk.exists('/sort')).toBe(!spills);
  });

  it('of nothing is nothing', () => {
    const disk = createSimulatedDisk();
    const sort = new EntrySort(disk, '/sort');
    expect(listOf(sort)).toEqual([]);
    sort.close();
    expect(disk.readdir('/')).toEqual([]);
  });
});
