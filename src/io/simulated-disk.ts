/**
 * A disk in memory that fails on demand, and the same way each time.
 *
 * It knows what a real one has promised to keep: the contents of a file since its last `sync`, the names
 * in a directory since its last `syncDirectory`. {@link SimulatedDisk.crash} makes the disk that is found
 * after a power failure, as a seed chooses:
 *
 * - of the writes to a file since its last sync any sectors (512 bytes) have arrived, in any order; the
 *   size is that after some of them;
 * - of the creations, renames and removals since the last sync of their directory some have happened: each
 *   as a whole, and none without those before it that concern the same name. (No file system with a
 *   journal leaves less; all of them may leave a file whose name arrived without its contents.)
 *
 * {@link SimulatedDisk.fork} makes the disk that is found when only the program died.
 *
 * Faults come from a {@link FaultPlan}, which is asked before each call. Paths are those of POSIX, and
 * relative ones start at the root.
 */
import { EseError } from '../format/ese-error.js';
import type { JetErrorName } from '../format/jet-errors.js';
import type { FileHandle, FileLock, FileSystem, LockHolder, LockOptions, OpenMode } from './file-system.js';
import { randomBelow, randomChance, seededRandom } from './seeded-random.js';
import {
  allocatedBytes,
  copySimulated,
  crashSimulated,
  failSync,
  newSimulatedFile,
  readSimulated,
  SIMULATED_PAGE_BYTES,
  syncSimulated,
  truncateSimulated,
  writeSimulated,
} from './simulated-file.js';
import {
  applyTo,
  commit,
  type DirectoryNode,
  type DiskState,
  type FileNode,
  fileError,
  findNode,
  isBelow,
  lookUp,
  type NameChange,
  type Node,
  newDirectory,
  nodeCopier,
  parentOf,
  partsOf,
  refuseReplacement,
  survivingNames,
  usedBytesIn,
} from './simulated-tree.js';

export type DiskOperation = Exclude<keyof FileSystem, 'lockHolder'> | Exclude<keyof FileHandle, 'path'>;

/** One call to the disk. */
export interface DiskCall {
  /** 1 for the first call since the disk was made. */
  readonly number: number;
  readonly operation: DiskOperation;
  readonly path: string;
  /** Of `readAt`, `writeAt` and `truncate` (the new size), in bytes. */
  readonly offset?: number;
  /** Of `readAt` and `writeAt`, in bytes. */
  readonly length?: number;
  /** New name, of `rename`. */
  readonly to?: string;
  /** Of `open`. */
  readonly mode?: OpenMode;
}

/** Calls that change what a crash may leave. */
const MUTATIONS: ReadonlySet<DiskOperation> = new Set([
  'mkdir',
  'rmdir',
  'rename',
  'unlink',
  'syncDirectory',
  'writeAt',
  'truncate',
  'sync',
]);

/** Whether a call changes the disk, or what of it is durable. */
export function isMutation(call: DiskCall): boolean {
  return MUTATIONS.has(call.operation) || (call.operation === 'open' && call.mode === 'create');
}

/**
 * What goes wrong with a call.
 *
 * - `stop`: the program dies before the call; this and all later calls throw {@link SimulatedCrash}.
 * - `error`: the call fails. A `writeAt` may have written a beginning; a `sync` has made some of the
 *   changes durable and lost the others for good; anything else has done nothing.
 * - `short`: `readAt` returns at most so many bytes, as at the end of a file.
 * - `flip`: `readAt` returns one wrong bit, number `bit` (modulo what was read); the disk keeps it right.
 */
export type Fault =
  | { readonly kind: 'stop' }
  | { readonly kind: 'error'; readonly error: JetErrorName }
  | { readonly kind: 'short'; readonly bytes: number }
  | { readonly kind: 'flip'; readonly bit: number };

/** Asked before each call; `undefined`: the call succeeds. */
export type FaultPlan = (call: DiskCall) => Fault | undefined;

/** Thrown where the program died: nobody but a test may catch it. Not an `EseError`. */
export class SimulatedCrash extends Error {
  override readonly name = 'SimulatedCrash';
}

export interface SimulatedDiskOptions {
  /** Decides what a failing call leaves done. Default: 0. */
  readonly seed?: number;
  /** Space for file contents, in bytes, taken in pages of 4096. Default: without limit. */
  readonly capacity?: number;
  readonly faults?: FaultPlan;
  /** Whether {@link SimulatedDisk.trace} is kept. Default: no. */
  readonly trace?: boolean;
}

export interface SimulatedDisk extends FileSystem {
  /** Calls so far. */
  readonly calls: number;
  /** All calls so far, when the disk was made with `trace`. */
  readonly trace: readonly DiskCall[];
  /** Space for file contents, in bytes. */
  capacity: number;
  faults: FaultPlan | undefined;
  /**
   * The disk after a power failure at this moment, in the state that the seed chooses; without faults.
   * This disk goes on independently. Sectors of another size than 512 bytes are those of a disk that writes so
   * much as one.
   */
  crash(seed: number, sectorBytes?: number): SimulatedDisk;
  /** The disk as the next process finds it when this one dies now: nothing is lost, locks are abandoned. */
  fork(): SimulatedDisk;
}

/** An empty disk. */
export function createSimulatedDisk(options: SimulatedDiskOptions = {}): SimulatedDisk {
  return makeDisk({ root: newDirectory(1), nameChanges: [], abandonedLocks: new Set(), lastId: 1 }, options);
}

/** Stops the program before call number `number`. */
export function stopAtCall(number: number): FaultPlan {
  return (call) => (call.number >= number ? { kind: 'stop' } : undefined);
}

/** Lets call number `number` fail. */
export function failAtCall(number: number, error: JetErrorName = 'JET_errDiskIO'): FaultPlan {
  return (call) => (call.number === number ? { kind: 'error', error } : undefined);
}

/** How often each fault happens, as a probability for each call that can have it. Default: 0. */
export interface FaultRates {
  readonly readError?: number;
  readonly shortRead?: number;
  readonly flippedBit?: number;
  readonly writeError?: number;
  readonly syncError?: number;
}

/** Faults at random, as the seed chooses. */
export function randomFaults(seed: number, rates: FaultRates): FaultPlan {
  const random = seededRandom(seed);
  const happens = (rate: number | undefined): boolean => randomChance(random, rate ?? 0);
  const ioError: Fault = { kind: 'error', error: 'JET_errDiskIO' };
  return ({ operation, length = 0 }) => {
    if (operation === 'readAt' && length > 0) {
      if (happens(rates.readError)) return ioError;
      if (happens(rates.shortRead)) return { kind: 'short', bytes: randomBelow(random, length) };
      if (happens(rates.flippedBit)) return { kind: 'flip', bit: randomBelow(random, length) * 8 + 3 };
    }
    if (operation === 'writeAt' && happens(rates.writeError)) return ioError;
    if (operation === 'sync' && happens(rates.syncError)) return ioError;
    return undefined;
  };
}

function makeDisk(state: DiskState, options: SimulatedDiskOptions): SimulatedDisk {
  const { root } = state;
  const random = seededRandom(options.seed ?? 0);
  const trace: DiskCall[] = [];
  const locks = new Map<string, LockHolder>();
  let used = usedBytesIn(root);
  let calls = 0;
  let isStopped = false;
  let capacity = options.capacity ?? Number.POSITIVE_INFINITY;
  let faults = options.faults;

  /** Counts a call; returns what goes wrong with it, apart from what ends it at once. */
  const begin = (operation: DiskOperation, path: string, detail?: Partial<DiskCall>): Fault | undefined => {
    if (isStopped) throw new SimulatedCrash(`the program was stopped; now it calls ${operation} ${path}`);
    calls++;
    if (faults === undefined && options.trace !== true) return undefined;
    const call: DiskCall = { number: calls, operation, path, ...detail };
    if (options.trace === true) trace.push(call);
    const fault = faults?.(call);
    if (fault?.kind === 'stop') {
      isStopped = true;
      throw new SimulatedCrash(`stopped before call ${formatCall(call)}`);
    }
    if (fault?.kind === 'error' && operation !== 'writeAt' && operation !== 'sync') {
      throw new EseError(fault.error, 'simulated failure', { file: path });
    }
    return fault;
  };

  const change = (...edits: NameChange): void => {
    applyTo(edits, (directory) => directory.entries);
    state.nameChanges.push(edits);
  };

  const releaseIfUnused = (node: FileNode): void => {
    if (!node.isLinked && node.handles === 0) used -= allocatedBytes(node.file);
  };

  const unlinkNode = (node: Node): void => {
    if (node.kind === 'directory') return;
    node.isLinked = false;
    releaseIfUnused(node);
  };

  const createFile = (path: string): FileNode => {
    const { directory, name } = parentOf(root, path);
    if (directory.entries.has(name)) throw fileError('JET_errFileAlreadyExists', path);
    const node: FileNode = {
      kind: 'file',
      id: ++state.lastId,
      file: newSimulatedFile(),
      isLinked: true,
      handles: 0,
    };
    change({ directory, name, node });
    return node;
  };

  const openHandle = (node: FileNode, path: string, mode: OpenMode): FileHandle => {
    let isOpen = true;
    let syncFailure: EseError | undefined;
    node.handles++;
    const mayWrite = (): void => {
      if (mode === 'read') throw new Error(`${path} is open for reading only`);
    };
    const start = (operation: DiskOperation, detail?: Partial<DiskCall>): Fault | undefined => {
      if (!isOpen) throw new Error(`${path} is closed`);
      return begin(operation, path, detail);
    };
    return {
      path,
      size() {
        start('size');
        return node.file.now.size;
      },
      readAt(into, offset) {
        const fault = start('readAt', { offset, length: into.length });
        const wanted = fault?.kind === 'short' ? into.subarray(0, Math.max(0, fault.bytes)) : into;
        const length = readSimulated(node.file, wanted, offset);
        if (fault?.kind === 'flip' && length > 0) {
          const byte = Math.floor(fault.bit / 8) % length;
          into[byte] = (into[byte] ?? 0) ^ (1 << (fault.bit % 8));
        }
        return length;
      },
      writeAt(from, offset) {
        mayWrite();
        const fault = start('writeAt', { offset, length: from.length });
        const error = fault?.kind === 'error' ? fault.error : undefined;
        const intended = error === undefined ? from : from.subarray(0, randomBelow(random, from.length + 1));
        const freePages = Math.max(0, Math.floor((capacity - used) / SIMULATED_PAGE_BYTES));
        const { written, taken } = writeSimulated(node.file, intended, offset, freePages);
        used += taken * SIMULATED_PAGE_BYTES;
        if (error !== undefined) throw new EseError(error, 'simulated failure', { file: path });
        if (written < from.length) throw fileError('JET_errDiskFull', path);
      },
      truncate(size) {
        mayWrite();
        start('truncate', { offset: size });
        used -= truncateSimulated(node.file, size) * SIMULATED_PAGE_BYTES;
      },
      sync() {
        const fault = start('sync');
        if (syncFailure !== undefined) throw syncFailure;
        if (fault?.kind === 'error') {
          failSync(node.file, random);
          syncFailure = new EseError(fault.error, 'simulated failure', { file: path });
          throw syncFailure;
        }
        syncSimulated(node.file);
      },
      close() {
        if (!isOpen) return;
        isOpen = false;
        node.handles--;
        releaseIfUnused(node);
        begin('close', path);
      },
    };
  };

  const inheritedState = () => ({
    abandonedLocks: new Set([...state.abandonedLocks, ...locks.keys()]),
    lastId: state.lastId,
  });

  const directoryAt = (path: string): DirectoryNode => {
    const node = lookUp(root, path);
    if (node.kind !== 'directory') throw fileError('JET_errInvalidPath', path);
    return node;
  };

  const makeDirectory = (path: string): void => {
    let directory = root;
    for (const name of partsOf(path)) {
      let next = directory.entries.get(name);
      if (next === undefined) {
        next = newDirectory(++state.lastId);
        change({ directory, name, node: next });
        commit(state, directory);
      }
      if (next.kind !== 'directory') throw fileError('JET_errFileAlreadyExists', path);
      directory = next;
    }
  };

  return {
    get calls() {
      return calls;
    },
    trace,
    get capacity() {
      return capacity;
    },
    set capacity(bytes) {
      capacity = bytes;
    },
    get faults() {
      return faults;
    },
    set faults(plan) {
      faults = plan;
    },
    open(path, mode) {
      begin('open', path, { mode });
      const node = mode === 'create' ? createFile(path) : lookUp(root, path);
      if (node.kind === 'directory') throw fileError('JET_errFileInvalidType', path);
      return openHandle(node, path, mode);
    },
    stat(path) {
      begin('stat', path);
      const node = lookUp(root, path);
      return {
        size: node.kind === 'file' ? node.file.now.size : 0,
        isDirectory: node.kind === 'directory',
        identity: String(node.id),
        volume: '0',
      };
    },
    exists(path) {
      begin('exists', path);
      return findNode(root, path) !== undefined;
    },
    readdir(path) {
      begin('readdir', path);
      return [...directoryAt(path).entries.keys()].sort();
    },
    mkdir(path) {
      begin('mkdir', path);
      makeDirectory(path);
    },
    rmdir(path) {
      begin('rmdir', path);
      if (directoryAt(path).entries.size > 0) throw fileError('JET_errFileAccessDenied', path);
      const { directory, name } = parentOf(root, path);
      change({ directory, name, node: undefined });
    },
    rename(from, to) {
      begin('rename', from, { to });
      const node = lookUp(root, from);
      const old = parentOf(root, from);
      const next = parentOf(root, to);
      const replaced = next.directory.entries.get(next.name);
      if (replaced === node) return;
      if (isBelow(to, from)) throw fileError('JET_errInvalidPath', to);
      if (replaced !== undefined) refuseReplacement(node, replaced, to);
      change(
        { directory: old.directory, name: old.name, node: undefined },
        { directory: next.directory, name: next.name, node },
      );
      if (replaced !== undefined) unlinkNode(replaced);
    },
    unlink(path) {
      begin('unlink', path);
      const node = lookUp(root, path);
      if (node.kind === 'directory') throw fileError('JET_errFileInvalidType', path);
      const { directory, name } = parentOf(root, path);
      change({ directory, name, node: undefined });
      unlinkNode(node);
    },
    // It knows neither links nor owners.
    resolveLink: (path) => path,
    adoptAccess(path, from) {
      lookUp(root, path);
      lookUp(root, from);
    },
    syncDirectory(path) {
      begin('syncDirectory', path);
      commit(state, directoryAt(path));
    },
    freeBytes(path) {
      begin('freeBytes', path);
      return Math.max(0, capacity - used);
    },
    lock(path: string, { role }: LockOptions): FileLock {
      begin('lock', path);
      parentOf(root, path);
      const key = partsOf(path).join('/');
      const holder = locks.get(key);
      if (holder !== undefined) {
        throw new EseError('JET_errFileAccessDenied', `it is in use by ${holder.role}`, { file: path });
      }
      locks.set(key, { pid: 1, host: 'simulated', role, since: 0 });
      let isHeld = true;
      return {
        wasAbandoned: state.abandonedLocks.delete(key),
        renew() {},
        release() {
          if (isHeld) locks.delete(key);
          isHeld = false;
        },
      };
    },
    lockHolder: (path) => locks.get(partsOf(path).join('/')),
    crash(seed, sectorBytes) {
      const choice = seededRandom(seed);
      const left = survivingNames(state, choice);
      const entriesOf = (directory: DirectoryNode) => left.get(directory) ?? directory.durable;
      const copy = nodeCopier(entriesOf, entriesOf, (file) => crashSimulated(file, choice, sectorBytes));
      return makeDisk({ ...inheritedState(), root: copy(root), nameChanges: [] }, { seed, capacity });
    },
    fork() {
      const copy = nodeCopier(
        (directory) => directory.entries,
        (directory) => directory.durable,
        copySimulated,
      );
      const nameChanges = state.nameChanges.map((edits) =>
        edits.map(({ directory, name, node }) => ({
          directory: copy(directory),
          name,
          node: node === undefined ? undefined : copy(node),
        })),
      );
      return makeDisk(
        { ...inheritedState(), root: copy(root), nameChanges },
        { seed: random.uint32(), capacity },
      );
    },
  };
}

/** A call in one line, as a trace prints it: `17 writeAt /db/E00.log 4096+512`. */
export function formatCall({ number, operation, path, offset, length, to, mode }: DiskCall): string {
  const where = offset === undefined ? [] : [length === undefined ? `${offset}` : `${offset}+${length}`];
  return [number, operation, path, ...where, to, mode].filter((part) => part !== undefined).join(' ');
}
