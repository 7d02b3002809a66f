import { describe, expect, it } from 'vitest';
import { realEnvironment, seededEnvironment } from '../../src/io/environment.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { randomBelow, randomChance, randomFill, seededRandom } from '../../src/io/seeded-random.js';
import { createSimulatedDisk } from '../../src/io/simulated-disk.js';

describe('Random numbers from a seed', () => {
  /** sfc32 and splitmix32 as their authors give them, in arithmetic of another kind. */
  function reference(seed: bigint, count: number): number[] {
    const word = (n: bigint): bigint => BigInt.asUintN(32, n);
    let z = word(seed);
    const splitmix = (): bigint => {
      z = word(z + 0x9e3779b9n);
      let t = word(z ^ (z >> 16n));
      t = word(t * 0x21f0aaadn);
      t = t ^ (t >> 15n);
      t = word(t * 0x735a2d97n);
      return t ^ (t >> 15n);
    };
    let [a, b, c, counter] = [splitmix(), splitmix(), splitmix(), 1n];
    return Array.from({ length: count }, () => {
      const sum = word(a + b + counter);
      counter = word(counter + 1n);
      a = b ^ (b >> 9n);
      b = word(c + (c << 3n));
      c = word(((c << 21n) | (c >> 11n)) + sum);
      return Number(sum);
    });
  }

  it.each([0, 1, 12_345, 0xffff_ffff])('are those of sfc32 for the seed %i', (seed) => {
    const random = seededRandom(seed);
    const drawn = Array.from({ length: 50 }, () => random.uint32());
    expect(drawn).toEqual(reference(BigInt(seed), 50));
  });

  it('differ for seeds that differ above 32 bits', () => {
    expect(seededRandom(1 + 2 ** 32).uint32()).not.toBe(seededRandom(1).uint32());
  });

  it('below a limit are all met equally often', () => {
    const random = seededRandom(3);
    const counts = [0, 0, 0, 0, 0, 0];
    for (let i = 0; i < 60_000; i++) {
      const drawn = randomBelow(random, 6);
      counts[drawn] = (counts[drawn] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
    expect(randomBelow(random, 1)).toBe(0);
    expect(randomBelow(random, 2 ** 32)).toBeGreaterThan(0);
  });

  it('decide with the given probability', () => {
    const random = seededRandom(4);
    let hits = 0;
    for (let i = 0; i < 10_000; i++) if (randomChance(random, 0.3)) hits++;
    expect(Math.abs(hits - 3000)).toBeLessThan(200);
    for (let i = 0; i < 100; i++) {
      expect(randomChance(random, 0)).toBe(false);
      expect(randomChance(random, 1)).toBe(true);
    }
  });

  it('fill bytes with their words, least significant byte first', () => {
    const words = seededRandom(5);
    const bytes = new Uint8Array(7);
    randomFill(seededRandom(5), bytes);
    const expected = Buffer.alloc(8);
    expected.writeUInt32LE(words.uint32(), 0);
    expected.writeUInt32LE(words.uint32(), 4);
    expect(Buffer.from(bytes)).toEqual(expected.subarray(0, 7));
  });
});

describe('An environment', () => {
  it('from a seed tells the same times and numbers each time', () => {
    const fs = createSimulatedDisk();
    const make = () => seededEnvironment({ fs, seed: 9 });
    const [a, b] = [make(), make()];
    expect(a.fs).toBe(fs);
    expect([a.clock.now(), a.clock.now()]).toEqual([Date.UTC(2024, 0, 1), Date.UTC(2024, 0, 1) + 1]);
    expect(b.clock.now()).toBe(Date.UTC(2024, 0, 1));
    expect(a.random.uint32()).toBe(b.random.uint32());
  });

  it('from a seed lets time pass as told', () => {
    const { clock } = seededEnvironment({ fs: createSimulatedDisk(), seed: 9, startMs: 1000, stepMs: 10 });
    expect(clock.now()).toBe(1000);
    clock.advance(500);
    expect(clock.now()).toBe(1510);
  });

  it('of this machine has its files, its time and unpredictable numbers', () => {
    const { fs, clock, random } = realEnvironment();
    expect(fs).toBe(nodeFileSystem);
    expect(Math.abs(clock.now() - Date.now())).toBeLessThan(1000);
    const drawn = new Set(Array.from({ length: 100 }, () => random.uint32()));
    expect(drawn.size).toBeGreaterThan(95);
  });
});
