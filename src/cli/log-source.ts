/** The source of `/ml` and `/k`: one log file, or a base name that stands for a whole stream (chapter 6.1.2). */

import { basename, dirname, join } from 'node:path';
import { EseError } from '../format/ese-error.js';
import type { CliHost } from './host.js';
import { meantPath } from './typed-path.js';

/** A base name in a directory. */
export interface LogStreamSource {
  readonly directory: string;
  readonly baseName: string;
}

/** Directory and base name; the directory is the current one where none is typed. */
export function streamSource(host: CliHost, typed: string): LogStreamSource {
  const path = meantPath(host, typed);
  return { directory: dirname(path), baseName: basename(path) };
}

const LOG_NAME = /^(.{3})(?:[0-9a-f]{5}|[0-9a-f]{8})?\.(?:log|jtx)$/i;

/** What to type instead of a directory: one line for each stream in it. */
export function streamHints(host: CliHost, directory: string): string[] {
  return baseNamesIn(host, directory).map((base) => `add the base name: ${join(directory, base)}`);
}

/** The base names of the streams in a directory. */
export function baseNamesIn(host: CliHost, directory: string): string[] {
  if (host.probe(directory) !== 'directory') return [];
  try {
    const bases = host.fs.readdir(directory).flatMap((name) => LOG_NAME.exec(name)?.[1] ?? []);
    return [...new Set(bases)].sort();
  } catch (error) {
    if (error instanceof EseError) return [];
    throw error;
  }
}
