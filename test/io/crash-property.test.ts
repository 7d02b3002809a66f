import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';
import { SECTOR_BYTES } from '../../src/io/simulated-file.js';
import { patternBytes, readFile } from '../support/files.js';

/**
 * A second account of what a disk owes after a crash, kept in the plainest way: whole copies of each file
 * after each change since its last sync, and all that each name meant since its directory was synced.
 */
interface ModelFile {
  /** Contents after the last sync and after each change since; the last one is what a reader sees. */
  history: Uint8Array[];
  /** Its name was made durable, and it was not removed or replaced since: it must be somewhere. */
  isOwed: boolean;
}

type Step =
  | { kind: 'create'; name: string }
  | { kind: 'sync'; name: string }
  | { kind: 'unlink'; name: string }
  | { kind: 'write'; name: string; offset: number; length: number; pattern: number }
  | { kind: 'truncate'; name: string; size: number }
  | { kind: 'rename'; name: string; to: string }
  | { kind: 'syncDirectory'; directory: string }
  | { kind: 'crash'; seed: number };

const DIRECTORIES = ['/p', '/q'];
const NAMES = ['/p/x', '/p/y', '/q/x', '/q/y'];

const name = fc.constantFrom(...NAMES);
const position = fc.oneof(fc.nat(3 * SECTOR_BYTES), fc.nat(20_000));
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom('create', 'sync', 'unlink'), name }),
  fc.record({
    kind: fc.constant('write'),
    name,
    offset: position,
    length: fc.oneof(fc.integer({ min: 1, max: 1500 }), fc.integer({ min: 1, max: 9000 })),
    pattern: fc.nat(254),
  }),
  fc.record({ kind: fc.constant('truncate'), name, size: position }),
  fc.record({ kind: fc.constant('rename'), name, to: name }),
  fc.record({ kind: fc.constant('syncDirectory'), directory: fc.constantFrom(...DIRECTORIES) }),
  fc.record({ kind: fc.constant('crash'), seed: fc.nat() }),
) as fc.Arbitrary<Step>;

class Model {
  readonly disk = createSimulatedDisk({ seed: 1 });
  private readonly files = new Map<string, ModelFile>();
  /** What each name meant: the identity of a file, or none; the last one is what it means now. */
  private readonly names = new Map<string, (string | undefined)[]>();

  constructor() {
    for (const directory of DIRECTORIES) this.disk.mkdir(directory);
    for (const path of NAMES) {
      this.names.set(path, [undefined]);
      this.create(path);
    }
  }

  private meaning(path: string): string | undefined {
    return this.names.get(path)?.at(-1);
  }

  private fileOf(path: string): ModelFile | undefined {
    return this.files.get(this.meaning(path) ?? '');
  }

  private give(path: string, identity: string | undefined): void {
    this.names.get(path)?.push(identity);
  }

  run(taken: Step): void {
    switch (taken.kind) {
      case 'crash':
        this.checkCrash(taken.seed);
        break;
      case 'syncDirectory':
        this.syncDirectory(taken.directory);
        break;
      case 'create':
        this.create(taken.name);
        break;
      default: {
        const file = this.fileOf(taken.name);
        if (file === undefined) break;
        if (taken.kind === 'unlink') this.unlink(taken.name, file);
        else if (taken.kind === 'rename') this.rename(taken.name, taken.to);
        else this.change(taken, file);
      }
    }
  }

  private unlink(path: string, file: ModelFile): void {
    this.disk.unlink(path);
    this.give(path, undefined);
    file.isOwed = false;
  }

  private create(path: string): void {
    if (this.fileOf(path) !== undefined) return;
    this.disk.open(path, 'create').close();
    const { identity } = this.disk.stat(path);
    this.files.set(identity, { history: [new Uint8Array(0)], isOwed: false });
    this.give(path, identity);
  }

  private rename(from: string, to: string): void {
    this.disk.rename(from, to);
    if (from === to) return;
    const replaced = this.fileOf(to);
    if (replaced !== undefined) replaced.isOwed = false;
    this.give(to, this.meaning(from));
    this.give(from, undefined);
  }

  private change(taken: Extract<Step, { kind: 'sync' | 'write' | 'truncate' }>, file: ModelFile): void {
    const handle = this.disk.open(taken.name, 'write');
    const now = file.history.at(-1) ?? new Uint8Array(0);
    if (taken.kind === 'sync') {
      handle.sync();
      file.history = [now];
    } else if (taken.kind === 'write') {
      const bytes = patternBytes(taken.pattern, taken.length);
      handle.writeAt(bytes, taken.offset);
      const next = new Uint8Array(Math.max(now.length, taken.offset + taken.length));
      next.set(now);
      next.set(bytes, taken.offset);
      file.history.push(next);
    } else {
      handle.truncate(taken.size);
      const next = new Uint8Array(taken.size);
      next.set(now.subarray(0, taken.size));
      file.history.push(next);
    }
    handle.close();
  }

  private syncDirectory(directory: string): void {
    this.disk.syncDirectory(directory);
    for (const path of NAMES.filter((each) => each.startsWith(directory))) {
      this.names.set(path, [this.meaning(path)]);
      const file = this.fileOf(path);
      if (file !== undefined) file.isOwed = true;
    }
  }

  /** What a reader sees now. */
  checkPresent(disk: SimulatedDisk): void {
    for (const path of NAMES) {
      const file = this.fileOf(path);
      expect(disk.exists(path)).toBe(file !== undefined);
      const contents = file?.history.at(-1);
      if (contents !== undefined) expect(Buffer.compare(readFile(disk, path), contents)).toBe(0);
    }
  }

  private checkCrash(seed: number): void {
    const forked = this.disk.fork();
    this.checkPresent(forked);
    for (const left of [this.disk.crash(seed), forked.crash(seed)]) {
      const found = new Set<string>();
      for (const path of NAMES) {
        const identity = left.exists(path) ? left.stat(path).identity : undefined;
        expect(this.names.get(path)).toContain(identity);
        if (identity === undefined) continue;
        expect(found).not.toContain(identity);
        found.add(identity);
        expectLegal(readFile(left, path), this.files.get(identity)?.history ?? []);
        const handle = left.open(path, 'write');
        const size = handle.size();
        handle.truncate(size + 5000);
        expect(
          readFile(left, path)
            .subarray(size)
            .every((byte) => byte === 0),
        ).toBe(true);
        // The disk that this one comes from must not notice.
        handle.writeAt(new Uint8Array(10_000).fill(0xff), 0);
        handle.sync();
      }
      for (const [identity, file] of this.files) if (file.isOwed) expect(found).toContain(identity);
    }
  }
}

/** The size is one that the file had; each sector is one that the file had there, or zeros behind its end. */
function expectLegal(found: Uint8Array, history: readonly Uint8Array[]): void {
  expect(history.map((contents) => contents.length)).toContain(found.length);
  for (let at = 0; at < found.length; at += SECTOR_BYTES) {
    const end = Math.min(found.length, at + SECTOR_BYTES);
    const isKnown = history.some((contents) => {
      for (let i = at; i < end; i++) if ((contents[i] ?? 0) !== found[i]) return false;
      return true;
    });
    if (!isKnown) throw new Error(`sector ${at / SECTOR_BYTES} holds what the file never had there`);
  }
}

describe('After any program of writes, syncs, renames and removals, and a crash', () => {
  it('all that was synced is there, and the rest is as it was at some moment since', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), fc.nat(), (steps, seed) => {
        const model = new Model();
        for (const taken of steps) model.run(taken);
        for (let crash = 0; crash < 3; crash++) model.run({ kind: 'crash', seed: seed + crash });
        model.checkPresent(model.disk);
      }),
      { numRuns: Number(process.env.ESEKIT_PROPERTY_RUNS ?? 100), seed: 20_240_101 },
    );
  });
});
