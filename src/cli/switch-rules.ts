/** What switches demand of each other, and of the arguments beside them (chapters 6.1.2 and 6.1.5). */

import type { ModeCommand } from './slash-command.js';
import type { ArgumentHost } from './slash-token.js';
import { UsageError } from './usage-error.js';

/**
 * Checks the rules that concern several switches, or the base name.
 *
 * @throws UsageError
 */
export function checkCombination(command: ModeCommand, host: ArgumentHost): void {
  const names = command.switches.map((use) => use.name);
  const has = (name: string) => names.includes(name);
  if (command.mode === 'r') {
    const relocations = [has('d'), has('n') || has('n*')].filter(Boolean).length;
    if (relocations > 1) throw new UsageError('Usage Error: Only one type of recovery allowed.');
    if ((has('k') || has('kf')) && has('p')) {
      throw new UsageError("Usage Error: Invalid option '/p'. It cannot be combined with '/k'.");
    }
    checkBaseName(command.positional);
  }
  if (command.mode === 'm') checkDumpOrder(names, command.modifier);
  if (command.mode === 'c') checkRestoreOptions(command, host);
}

function checkBaseName(base: string | null): void {
  if (base === null || /^[^/\\]{3}$/.test(base)) return;
  const slash = Math.max(base.lastIndexOf('/'), base.lastIndexOf('\\'));
  const name = base.slice(slash + 1);
  const hints =
    slash >= 0 && name.length === 3
      ? [`write /r ${name} /l ${base.slice(0, slash) || '/'}`]
      : ['a base name has three characters, such as E00'];
  throw new UsageError(`Usage Error: Invalid argument '${base}'. It is no logfile base name.`, hints);
}

function checkDumpOrder(names: readonly string[], modifier: string | null): void {
  const before = (first: string, second: string) => {
    const at = names.indexOf(second);
    return at < 0 || names.slice(0, at).includes(first);
  };
  if (!before('p', 'k'))
    throw new UsageError("Usage Error: Invalid option '/k'. It needs /p<pgno> before it.");
  if (modifier !== 's' && !before('k', 'd')) {
    throw new UsageError("Usage Error: Invalid option '/d'. It needs /k<key> before it.");
  }
}

function checkRestoreOptions(command: ModeCommand, host: ArgumentHost): void {
  const names = command.switches.map((use) => use.name);
  if (names.includes('t') && names.includes('f')) {
    throw new UsageError("Usage Error: Invalid option '/f'. It cannot be combined with '/t'.");
  }
  const instance = command.switches.find((use) => use.name === 't')?.value ?? null;
  if (instance !== null && host.probe(instance) === 'directory' && host.holdsRestoreEnv(instance)) {
    throw new UsageError(`Usage Error: Invalid argument '${instance}'.`, [
      `'${instance}' is a restore directory; write it before /t`,
    ]);
  }
}
