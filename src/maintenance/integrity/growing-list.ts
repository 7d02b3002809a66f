/** A list of numbers that grows without an object for each: there may be one for each page of a large file. */

export interface GrowingList {
  values: Uint32Array;
  length: number;
}

const CAPACITY_FIRST = 256;

export function createGrowingList(): GrowingList {
  return { values: new Uint32Array(CAPACITY_FIRST), length: 0 };
}

export function push(list: GrowingList, value: number): void {
  if (list.length === list.values.length) {
    const grown = new Uint32Array(2 * list.values.length);
    grown.set(list.values);
    list.values = grown;
  }
  list.values[list.length] = value;
  list.length++;
}

/** The numbers so far, in memory that threads can share if `isShared`. */
export function finishList(list: GrowingList, isShared: boolean): Uint32Array {
  if (!isShared) return list.values.subarray(0, list.length);
  const shared = new Uint32Array(new SharedArrayBuffer(4 * list.length));
  shared.set(list.values.subarray(0, list.length));
  return shared;
}
