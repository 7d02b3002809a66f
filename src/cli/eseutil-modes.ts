/** Which file runs a mode, and what JSON output calls it (format specification, chapters 6.1.2 and 11.4). */

import { isBaseName } from './base-name.js';
import { hasSwitch, type Mode } from './mode.js';
import type { ModeCommand } from './slash-command.js';

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
  mk: async () => (await import('./eseutil/dump-checkpoint.js')).dumpCheckpointMode,
  ml: async () => (await import('./eseutil/dump-log.js')).dumpLogMode,
  mm: async () => (await import('./eseutil/dump-metadata.js')).dumpMetadataMode,
  ms: async () => (await import('./eseutil/dump-space.js')).dumpSpaceMode,
  mc: async () => (await import('./eseutil/dump-space-category.js')).dumpSpaceCategoryMode,
  mn: async () => (await import('./eseutil/dump-nodes.js')).dumpNodesMode,
  mp: async () => (await import('./eseutil/dump-flush-map.js')).dumpFlushMapMode,
  page: async () => (await import('./eseutil/dump-page.js')).dumpPageMode,
  d: async () => (await import('./eseutil/defrag.js')).defragMode,
  g: async () => (await import('./eseutil/integrity.js')).integrityMode,
  k: async () => (await import('./eseutil/checksum.js')).checksumMode,
  y: async () => (await import('./eseutil/copy.js')).copyMode,
  p: async () => (await import('./eseutil/repair.js')).repairMode,
  r: async () => (await import('./eseutil/recover.js')).recoverMode,
};

function modeKey(command: ModeCommand): string {
  return command.mode + (command.modifier ?? '');
}

/** `/p<n>`, `/n` and `/i` dump a page whatever the modifier, but `/p` is a range of `/mc` and a map page of `/mp`. */
function dumpsPage(command: ModeCommand): boolean {
  if (command.mode !== 'm') return false;
  const pageIsOwn = command.modifier === 'c' || command.modifier === 'p';
  return hasSwitch(command, 'n', 'i') || (!pageIsOwn && hasSwitch(command, 'p'));
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
