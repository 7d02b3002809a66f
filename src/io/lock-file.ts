/**
 * Locks of databases and log streams: a file `<path>.lock` that exists while the lock is held and says
 * by whom (format specification, chapters 6.4 R2 and 8.4.3).
 *
 * Why an own lock file. Node has no call for the kernel's file locks, and an addon would need a compiler
 * wherever the package is installed. The libraries that do without (proper-lockfile among them) keep a
 * lock alive by timers and give up one that has not moved for some seconds: an engine that computes
 * longer than that without returning to the event loop would lose its database to the next comer, and
 * after a crash everybody waits. So the file names its holder, and whoever finds it asks the system:
 *
 * | the lock was taken                           | the holder is                                        |
 * |----------------------------------------------|------------------------------------------------------|
 * | by this kernel, in our process namespace     | alive if that process lives and started when it says |
 * | by this kernel, in another container         | alive if it renewed the lock in the last minute      |
 * | by this machine, before it was started anew  | dead                                                 |
 * | by another machine (a network file system)   | unknown: refused, unless told to break the lock      |
 *
 * The start time guards against a process number that was given out again. Where the system tells no
 * boot id (all but Linux), the process number and the time since the start of the machine must do.
 *
 * Only containers need the renewal: their processes do not see each other. It happens at writes, and by a
 * timer when there are none; a holder that was stopped for longer than a minute finds at its next write
 * that the lock is no longer its own, and fails instead of writing.
 *
 * The file appears with its contents in one step (a hard link), so nobody finds half of it; over NFS
 * this is atomic, too. Several processes that find a dead lock agree by a second lock,
 * `<path>.lock.break`, on the one that removes it.
 */
import * as fs from 'node:fs';
import { hostname, uptime } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { EseError } from '../format/ese-error.js';
import type { FileLock, LockHolder, LockOptions } from './file-system.js';
import { isSystemError, toEseError } from './system-error.js';

/** What a lock file holds, as JSON. */
interface LockRecord extends LockHolder {
  /** Distinguishes this lock from every other one. */
  readonly token: string;
  /** Identity of the machine, '' where the system has none. */
  readonly machine: string;
  /** Identity of this start of the kernel; null where the system has none. */
  readonly boot: string | null;
  /** Identity of the set of processes that see each other; null where the system has none. */
  readonly namespace: string | null;
  /** Start time of the process in the system's own unit; null where the system has none. */
  readonly start: string | null;
}

interface FoundLock {
  /** Undefined when the file is no lock record (yet). */
  readonly record: LockRecord | undefined;
  /** When it was last renewed, milliseconds since 1970 by the clock of the file system. */
  readonly renewed: number;
}

type Verdict = 'alive' | 'dead' | 'unknown';

/** How long a holder that cannot be seen counts as alive after it renewed its lock. */
const LEASE_MS = 60_000;
/** How often a holder renews its lock. */
const RENEWAL_MS = 10_000;
/** A file without a record is that of a process about to write it, for this long. */
const WRITING_MS = 2_000;
/** Slack between two clocks that tell when this machine was started. */
const BOOT_SLACK_MS = 5_000;
const ATTEMPTS = 400;
const ATTEMPT_PAUSE_MS = 5;
/** The lock on removing a lock on removing a lock… dies with a process in a window of microseconds. */
const BREAK_DEPTH_MAX = 3;

/** Takes the lock of `path`. See {@link FileSystem.lock}. */
export function takeLock(path: string, options: LockOptions): FileLock {
  try {
    const lockPath = lockPathOf(path);
    const record: LockRecord = {
      ...identityOfThisProcess(),
      role: options.role,
      since: Date.now(),
      token: crypto.randomUUID(),
    };
    const wasAbandoned = acquire(lockPath, record, options.breakForeign === true, 0);
    return heldLock(path, lockPath, record.token, wasAbandoned);
  } catch (error) {
    const known = toEseError(error, path);
    if (!isSystemError(error) || !(known instanceof EseError)) throw known;
    // It is the folder that cannot be written to, not the file.
    throw new EseError(known.name, `its lock file cannot be made: ${known.detail}`, { file: path });
  }
}

/** Who holds the lock of `path`. See {@link FileSystem.lockHolder}. */
export function findLockHolder(path: string): LockHolder | undefined {
  try {
    const found = readLock(lockPathOf(path));
    if (found === undefined || judge(found) === 'dead') return undefined;
    return found.record ?? { pid: 0, host: '', role: '', since: found.renewed };
  } catch (error) {
    throw toEseError(error, path);
  }
}

/** One lock for one file, whatever symbolic links lead to it. */
function lockPathOf(path: string): string {
  if (fs.existsSync(path)) return `${fs.realpathSync(path)}.lock`;
  return `${join(fs.realpathSync(dirname(path)), basename(path))}.lock`;
}

/** Returns whether a dead session's lock was removed on the way. */
function acquire(lockPath: string, record: LockRecord, breakForeign: boolean, depth: number): boolean {
  let wasAbandoned = false;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (attempt > 0) pause();
    if (publish(lockPath, record)) return wasAbandoned;
    const found = readLock(lockPath);
    if (found === undefined) continue;
    const verdict = judge(found);
    if (verdict === 'alive' || (verdict === 'unknown' && !breakForeign)) {
      // The lock on removing a lock is held for moments only.
      if (depth > 0) continue;
      throw refusal(found.record, verdict);
    }
    if (depth === BREAK_DEPTH_MAX) break;
    wasAbandoned = remove(lockPath, found, record, depth) || wasAbandoned;
  }
  throw new EseError('JET_errFileAccessDenied', `its lock ${lockPath} changes hands all the time`);
}

/** Removes the lock that was found, unless another process was faster. */
function remove(lockPath: string, found: FoundLock, record: LockRecord, depth: number): boolean {
  const guardPath = `${lockPath}.break`;
  acquire(guardPath, record, false, depth + 1);
  try {
    const now = readLock(lockPath);
    // Only the holder of the guard removes a dead lock: what is the same now stays the same.
    if (now === undefined || now.record?.token !== found.record?.token || now.renewed !== found.renewed) {
      return false;
    }
    fs.unlinkSync(lockPath);
    return true;
  } finally {
    removeOwn(guardPath, record.token);
  }
}

/** Creates the lock file with its contents; false when there is one already. */
function publish(lockPath: string, record: LockRecord): boolean {
  const text = `${JSON.stringify(record)}\n`;
  const draft = `${lockPath}.${record.token}`;
  try {
    fs.writeFileSync(draft, text, { flag: 'wx' });
    fs.linkSync(draft, lockPath);
    return true;
  } catch (error) {
    if (!isSystemError(error) || !fs.existsSync(draft) || isOutOfSpace(error)) throw error;
    // Over NFS the answer to a link that succeeded may be lost, and its repetition fails.
    if (error.code === 'EEXIST') return fs.statSync(draft).nlink === 2;
    return publishWithoutLink(lockPath, text);
  } finally {
    fs.rmSync(draft, { force: true });
  }
}

/** For file systems without hard links: a reader may find the file before its contents. */
function publishWithoutLink(lockPath: string, text: string): boolean {
  let isOurs = false;
  try {
    const file = fs.openSync(lockPath, 'wx');
    isOurs = true;
    try {
      fs.writeFileSync(file, text);
    } finally {
      fs.closeSync(file);
    }
    return true;
  } catch (error) {
    if (isOurs) fs.rmSync(lockPath, { force: true });
    else if (isSystemError(error) && error.code === 'EEXIST') return false;
    throw error;
  }
}

function isOutOfSpace({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ENOSPC' || code === 'EDQUOT';
}

function readLock(lockPath: string): FoundLock | undefined {
  try {
    const renewed = fs.statSync(lockPath).mtimeMs;
    return { record: parseRecord(fs.readFileSync(lockPath, 'utf8')), renewed };
  } catch (error) {
    if (isSystemError(error) && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function parseRecord(text: string): LockRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  const textOf = (name: string): string => {
    const field = fields[name];
    return typeof field === 'string' ? field : '';
  };
  const { pid, since } = fields;
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return {
    pid,
    host: textOf('host'),
    role: textOf('role'),
    since: typeof since === 'number' ? since : 0,
    token: textOf('token'),
    machine: textOf('machine'),
    boot: textOf('boot') || null,
    namespace: textOf('namespace') || null,
    start: textOf('start') || null,
  };
}

function judge(found: FoundLock): Verdict {
  const now = Date.now();
  const theirs = found.record;
  if (theirs === undefined) return now - found.renewed > WRITING_MS ? 'dead' : 'alive';
  const ours = identityOfThisProcess();
  const isSameMachine = theirs.host === ours.host && theirs.machine === ours.machine;
  if (theirs.boot !== null && ours.boot !== null) {
    if (theirs.boot !== ours.boot) return isSameMachine ? 'dead' : 'unknown';
    if (theirs.namespace !== ours.namespace) return now - found.renewed > LEASE_MS ? 'dead' : 'alive';
    return isRunning(theirs.pid, theirs.start) ? 'alive' : 'dead';
  }
  if (theirs.boot !== ours.boot || !isSameMachine) return 'unknown';
  if (theirs.since < now - uptime() * 1000 - BOOT_SLACK_MS) return 'dead';
  return isRunning(theirs.pid, theirs.start) ? 'alive' : 'dead';
}

function isRunning(pid: number, start: string | null): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Any answer but "no such process" (such as "not yours") comes from a living one.
    if (isSystemError(error) && error.code === 'ESRCH') return false;
  }
  const found = processState(pid);
  if (found === undefined || start === null) return true;
  return found.start === start && found.state !== 'Z' && found.state !== 'X';
}

/** State letter and start time (in clock ticks since the start of the kernel) of a Linux process. */
function processState(pid: number | 'self'): { state: string; start: string } | undefined {
  const text = readText(`/proc/${pid}/stat`);
  // The second field, the program's name in parentheses, may hold anything.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  const state = fields?.[0];
  const start = fields?.[19];
  return state === undefined || start === undefined ? undefined : { state, start };
}

let ownIdentity: Omit<LockRecord, 'role' | 'since' | 'token'> | undefined;

function identityOfThisProcess(): Omit<LockRecord, 'role' | 'since' | 'token'> {
  ownIdentity ??= {
    pid: process.pid,
    host: hostname(),
    machine: readText('/etc/machine-id')?.trim() ?? '',
    boot: readText('/proc/sys/kernel/random/boot_id')?.trim() ?? null,
    namespace: readNamespace(),
    start: processState('self')?.start ?? null,
  };
  return ownIdentity;
}

function readText(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

function readNamespace(): string | null {
  try {
    return fs.readlinkSync('/proc/self/ns/pid');
  } catch {
    return null;
  }
}

function heldLock(path: string, lockPath: string, token: string, wasAbandoned: boolean): FileLock {
  let isHeld = true;
  let isLost = false;
  let renewed = performance.now();

  const tryRenew = (): void => {
    renewed = performance.now();
    try {
      const isOwn = readLock(lockPath)?.record?.token === token;
      if (isOwn) fs.utimesSync(lockPath, new Date(), new Date());
      isLost = !isOwn;
    } catch {
      // The folder cannot be reached now; the write that follows will say so better.
    }
  };
  const timer = setInterval(tryRenew, RENEWAL_MS);
  timer.unref();

  return {
    wasAbandoned,
    renew() {
      if (isHeld && !isLost && performance.now() - renewed > RENEWAL_MS) tryRenew();
      if (isLost) {
        throw new EseError('JET_errFileAccessDenied', 'its lock was taken over by another session', {
          file: path,
        });
      }
    },
    release() {
      if (!isHeld) return;
      isHeld = false;
      clearInterval(timer);
      try {
        removeOwn(lockPath, token);
      } catch (error) {
        throw toEseError(error, path);
      }
    },
  };
}

function removeOwn(lockPath: string, token: string): void {
  if (readLock(lockPath)?.record?.token === token) fs.unlinkSync(lockPath);
}

function refusal(holder: LockRecord | undefined, verdict: Verdict): EseError {
  if (holder === undefined) {
    return new EseError('JET_errFileAccessDenied', 'another process is just locking it');
  }
  const who = `${holder.role || 'process'} ${holder.pid} on ${holder.host || 'an unnamed host'}`;
  return new EseError(
    'JET_errFileAccessDenied',
    verdict === 'alive'
      ? `it is in use by ${who}`
      : `it is locked by ${who}, and from here nobody can see whether that process still lives`,
  );
}

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ATTEMPT_PAUSE_MS);
}
