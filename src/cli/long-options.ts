/** Options that begin with two dashes (format specification, chapter 6.1.1, rule 8). */

import type { ModeLetter } from './mode-switches.js';
import { UsageError } from './usage-error.js';

/** A long option: `--name`, `--name=value`, `--name value` (chapter 6.1.1, rule 8). */
export interface LongOptionSpec {
  readonly name: string;
  readonly takes: 'nothing' | 'value' | 'optional value';
  readonly value?: RegExp;
  /** The modes that know it; absent = all of them. */
  readonly modes?: readonly ModeLetter[];
  /** May stand before the mode switch. */
  readonly early?: true;
}

export const LONG_OPTIONS: readonly LongOptionSpec[] = [
  { name: 'help', takes: 'nothing', early: true },
  { name: 'version', takes: 'nothing', early: true },
  { name: 'json', takes: 'optional value', early: true },
  { name: 'jsonl', takes: 'nothing', early: true },
  { name: 'json-limit', takes: 'value', value: /^\d{1,9}$/ },
  { name: 'compat', takes: 'value', value: /^(?:win|exch|e2003|e2000)$/, early: true },
  { name: 'yes', takes: 'nothing' },
  { name: 'progress', takes: 'value', value: /^(?:always|never|auto)$/ },
  { name: 'verbose-progress', takes: 'nothing' },
  { name: 'exit-jet', takes: 'nothing' },
  { name: 'explain-args', takes: 'nothing' },
  { name: 'shared', takes: 'nothing' },
  { name: 'max-mbps', takes: 'value', value: /^\d{1,6}(?:\.\d{1,3})?$/, modes: ['k'] },
  { name: 'workers', takes: 'value', value: /^[1-9]\d{0,3}$/ },
  { name: 'force', takes: 'nothing', modes: ['y'] },
  { name: 'verify', takes: 'nothing', modes: ['y'] },
  { name: 'dry-run', takes: 'nothing', modes: ['r', 'c'] },
  { name: 'until', takes: 'value', modes: ['r'] },
  { name: 'log-digits', takes: 'value', value: /^[58]$/, modes: ['r', 'c'] },
  { name: 'allow-logged-paths', takes: 'nothing', modes: ['r', 'c'] },
  { name: 'no-space-check', takes: 'nothing', modes: ['d', 'p'] },
  { name: 'keep-ids', takes: 'nothing', modes: ['d'] },
  { name: 'keep-temp', takes: 'nothing', modes: ['d'] },
  { name: 'dedupe-lv', takes: 'nothing', modes: ['d'] },
  { name: 'rebuild-indexes', takes: 'nothing', modes: ['d'] },
  { name: 'seed', takes: 'value', value: /^\d{1,9}$/, modes: ['d'] },
  { name: 'out', takes: 'value', modes: ['p'] },
  { name: 'undo', takes: 'value', modes: ['p'] },
  { name: 'undo-file', takes: 'value', modes: ['p'] },
  { name: 'no-undo', takes: 'nothing', modes: ['p'] },
  { name: 'keep-lost', takes: 'value', modes: ['p'] },
  { name: 'deep', takes: 'nothing', modes: ['p'] },
  { name: 'force-header', takes: 'nothing', modes: ['p'] },
  { name: 'lv', takes: 'value', value: /^(?:null|zero|truncate|drop-record)$/, modes: ['p'] },
  { name: 'unique', takes: 'value', value: /^(?:demote|drop-older|fail)$/, modes: ['p'] },
  { name: 'schema-from', takes: 'value', modes: ['p'] },
  { name: 'keep-orphans', takes: 'nothing', modes: ['p'] },
  { name: 'strict', takes: 'nothing', modes: ['p'] },
];

/** Options by name; `null` = given without a value. */
export type LongOptions = ReadonlyMap<string, string | null>;

/** Whether `--json` or `--jsonl` stands anywhere before a lone `--`: known even where the rest is nonsense. */
export function wantsJson(argv: readonly string[]): LongOptions {
  const found = new Map<string, string | null>();
  for (const token of argv.map(normaliseDash)) {
    if (token === '--') break;
    const match = /^--(jsonl?)(?:=(.*))?$/s.exec(token);
    if (match?.[1] !== undefined) found.set(match[1], match[2] || null);
  }
  return found;
}

/** Word processors turn `-` into `–` or `—`; at the start of a token they are read as what was meant. */
export function normaliseDash(token: string): string {
  return token.replace(/^[–—]+/, (dashes) => '-'.repeat(dashes.length));
}

export function isLongOption(token: string): boolean {
  return token.length > 2 && token.startsWith('--');
}

export function longName(token: string): string {
  return (token.slice(2).split('=', 1)[0] ?? '').toLowerCase();
}

export function findLongOption(name: string): LongOptionSpec | undefined {
  return LONG_OPTIONS.find((spec) => spec.name === name);
}

/** Reads the long option at `at` into `long`; returns how many tokens it took. */
export function readLongOption(
  tokens: readonly string[],
  at: number,
  mode: ModeLetter | null,
  long: Map<string, string | null>,
): number {
  const token = tokens[at] ?? '';
  const spec = findLongOption(longName(token));
  if (spec === undefined || (mode !== null && spec.modes !== undefined && !spec.modes.includes(mode))) {
    throw new UsageError(`Usage Error: Invalid option '${token}'.`);
  }
  const equals = token.indexOf('=');
  let value: string | null = equals < 0 ? null : token.slice(equals + 1);
  let taken = 1;
  if (spec.takes === 'nothing' && value !== null) {
    throw new UsageError(`Usage Error: Invalid option '${token}'. --${spec.name} takes no value.`);
  }
  if (spec.takes === 'value' && value === null) {
    const next = tokens[at + 1];
    if (next === undefined || next === '--')
      throw new UsageError(`Usage Error: Missing --${spec.name} specification.`);
    value = next;
    taken = 2;
  }
  if (value === '' && spec.takes !== 'nothing') {
    throw new UsageError(`Usage Error: Missing --${spec.name} specification.`);
  }
  if (value !== null && spec.value !== undefined && !spec.value.test(value)) {
    throw new UsageError(`Usage Error: Invalid option '--${spec.name}=${value}'.`);
  }
  if (long.has(spec.name)) throw new UsageError(`Usage Error: Duplicate --${spec.name} specification.`);
  long.set(spec.name, value);
  return taken;
}
