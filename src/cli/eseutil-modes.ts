/** Which file runs a mode, and what JSON output calls it (format specification, chapters 6.1.2 and 11.4). */

import { basename } from 'node:path';
import { hasSwitch, type Mode } from './mode.js';
import type { ModeCommand } from './slash-arguments.js';

/** Names of the JSON output, by mode letter and modifier. */
const JSON_MODES: Readonly<Record<string, string>> = {
  mh: 'dumpHeader',
  mk: 'dumpCheckpoint',
  ml: 'dumpLog',
  mm: 'dumpMetadata',
  ms: 'dumpSpace',
  mc: 'dumpSpaceCategory',
  mn: 'dumpNodes',
  mp: 'dumpFlushMap',
  mt: 'dumpTrace',
  mb: 'dumpBlockCache',
  mr: 'dumpSnapshot',
  g: 'integrity',
  k: 'checksum',
  p: 'repair',
  d: 'defrag',
  r: 'recovery',
  cm: 'restoreEnv',
  cc: 'restore',
  y: 'copy',
  z: 'scrub',
};

/** Modes are loaded when they are asked for: `eseutil /?` reads none of them. */
const LOADERS: Readonly<Record<string, () => Promise<Mode>>> = {
  mh: async () => (await import('./eseutil/dump-header.js')).dumpHeaderMode,
  mm: async () => (await import('./eseutil/dump-metadata.js')).dumpMetadataMode,
  ms: async () => (await import('./eseutil/dump-space.js')).dumpSpaceMode,
  page: async () => (await import('./eseutil/dump-page.js')).dumpPageMode,
};

function modeKey(command: ModeCommand): string {
  return command.mode + (command.modifier ?? '');
}

/** `/p<n>`, `/n` and `/i` dump a page whatever the modifier, but `/p` is a range of `/mc` and a map page of `/mp`. */
export function dumpsPage(command: ModeCommand): boolean {
  if (command.mode !== 'm') return false;
  const pageIsOwn = command.modifier === 'c' || command.modifier === 'p';
  return hasSwitch(command, 'n', 'i') || (!pageIsOwn && hasSwitch(command, 'p'));
}

/** Whether the source of `/ml` or `/k` names a whole log stream: three characters and no extension. */
export function isBaseName(source: string): boolean {
  return /^[^.]{3}$/.test(basename(source.replaceAll('\\', '/')));
}

/** The `mode` of the JSON envelope. */
export function jsonModeOf(command: ModeCommand): string {
  if (dumpsPage(command)) return 'dumpPage';
  const key = modeKey(command);
  if (key === 'ml' && command.positional !== null && isBaseName(command.positional)) return 'dumpLogStream';
  return JSON_MODES[key] ?? 'usage';
}

/** The code of a mode. */
export async function loadMode(command: ModeCommand): Promise<Mode> {
  const loader = LOADERS[dumpsPage(command) ? 'page' : modeKey(command)];
  if (loader !== undefined) return loader();
  const { unavailableMode } = await import('./eseutil/unavailable.js');
  return unavailableMode(command);
}
