import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Environment, seededEnvironment } from '../../src/io/environment.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';
import { corpusPath } from '../corpus.js';
import { putFile, readFile } from './files.js';

/** Folders of a disk that recovery works on. */
export const LOGS = '/logs';
export const OUT = '/out';

/** A disk with the files of a corpus folder in `/logs`, and an empty `/out`. */
export function diskOfCorpus(...folder: string[]): SimulatedDisk {
  const disk = createSimulatedDisk();
  disk.mkdir(LOGS);
  disk.mkdir(OUT);
  const path = corpusPath(...folder);
  for (const name of readdirSync(path)) {
    if (!statSync(join(path, name)).isFile() || !isStreamFile(name)) continue;
    putFile(disk, join(LOGS, name), readFileSync(join(path, name)));
  }
  return disk;
}

/** Logs, checkpoints and databases, but not the facts about them. */
function isStreamFile(name: string): boolean {
  return /\.(log|chk|dat|jfm)$/.test(name);
}

/** A clock and random numbers that repeat themselves. */
export function environmentOf(fs: FileSystem, seed = 1): Environment {
  return seededEnvironment({ fs, seed });
}

/** All files of a folder, for comparisons. */
export function snapshot(fs: FileSystem, folder: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const name of fs.readdir(folder)) files.set(name, Buffer.from(readFile(fs, join(folder, name))));
  return files;
}

/** Names of the files that differ between two snapshots. */
export function changedFiles(before: Map<string, Buffer>, after: Map<string, Buffer>): string[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names]
    .filter((name) => {
      const a = before.get(name);
      const b = after.get(name);
      return a === undefined || b === undefined || !a.equals(b);
    })
    .sort();
}

/** Overwrites a file of a disk, or makes it. */
export function writeFile(fs: FileSystem, path: string, contents: Uint8Array): void {
  if (fs.exists(path)) fs.unlink(path);
  putFile(fs, path, contents);
}

/** Copies a file of a disk to the real file system. */
export function toRealFile(fs: FileSystem, from: string, to: string): void {
  writeFileSync(to, readFile(fs, from));
}
