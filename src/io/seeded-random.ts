/** A source of random bits. */
export interface Random {
  /** A whole number from 0 to 2³² − 1. */
  uint32(): number;
}

/**
 * The same seed gives the same numbers on every machine and in every version: files made from a seed
 * depend on it. (The generator is sfc32, its state drawn from the seed by splitmix32.)
 *
 * @param seed any whole number; only its low 64 bits count
 */
export function seededRandom(seed: number): Random {
  let z = (seed ^ Math.imul(Math.floor(seed / 2 ** 32) | 0, 0x85ebca6b)) | 0;
  const splitmix = (): number => {
    z = (z + 0x9e3779b9) | 0;
    let t = z ^ (z >>> 16);
    t = Math.imul(t, 0x21f0aaad);
    t ^= t >>> 15;
    t = Math.imul(t, 0x735a2d97);
    return t ^ (t >>> 15);
  };
  let a = splitmix();
  let b = splitmix();
  let c = splitmix();
  let counter = 1;
  return {
    uint32() {
      const sum = (a + b + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + sum) | 0;
      return sum >>> 0;
    },
  };
}

/** A whole number from 0 to `limit` − 1, each equally likely (`limit` from 1 to 2³²). */
export function randomBelow(random: Random, limit: number): number {
  const unbiased = 2 ** 32 - (2 ** 32 % limit);
  for (;;) {
    const drawn = random.uint32();
    if (drawn < unbiased) return drawn % limit;
  }
}

/** True with the given probability. */
export function randomChance(random: Random, probability: number): boolean {
  return random.uint32() < probability * 2 ** 32;
}

/** Fills `into` with random bytes. */
export function randomFill(random: Random, into: Uint8Array): void {
  for (let i = 0; i < into.length; i += 4) {
    let word = random.uint32();
    for (let k = i; k < i + 4 && k < into.length; k++) {
      into[k] = word & 0xff;
      word >>>= 8;
    }
  }
}
