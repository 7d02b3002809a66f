/**
 * How one token of a classic command line is read: the rules S4 to S9 of hosts where `/` begins both switches and
 * paths, and the forms of a switch (format specification, chapters 6.1.1 and 6.1.2).
 */

import type { SwitchSpec } from './mode-switches.js';

/** What the parser may know about the machine. */
export interface ArgumentHost {
  readonly platform: 'posix' | 'windows';
  /** What a path names, without following it further; `null` = nothing. */
  probe(path: string): 'file' | 'directory' | null;
  /** Whether a directory holds a `restore.env` in any spelling. */
  holdsRestoreEnv(directory: string): boolean;
}

/** One classified token. */
export type Reading =
  | { readonly kind: 'path'; readonly rule: string; readonly path: string }
  | {
      readonly kind: 'switch';
      readonly rule: string;
      readonly spec: SwitchSpec;
      /** Attached value; `undefined` = the bare letter. */
      readonly value: string | undefined;
    };

/** A switch as recognised; `value` is `undefined` for the bare letter. */
export interface FoundSwitch {
  readonly spec: SwitchSpec;
  readonly value: string | undefined;
}

/** A token that begins with `/`, in slash style: rules S4 to S9 in order. */
export function classifySlashToken(token: string, specs: readonly SwitchSpec[], host: ArgumentHost): Reading {
  if (/^\/(?:\/|\.\/|\.\.\/)/.test(token) || /^\/[^/]+\/$/.test(token)) {
    return { kind: 'path', rule: 'S4', path: token.replace(/^\/+/, '/') };
  }
  const body = token.slice(1).trimEnd();
  const exact = readExactSwitch(body, specs);
  if (exact !== null) return { kind: 'switch', rule: 'S5', ...exact };
  const colon = readColonSwitch(body, specs);
  if (colon !== null) return { kind: 'switch', rule: 'S6', ...colon };

  const secondSlash = body.indexOf('/');
  const firstPart = secondSlash < 0 ? body : body.slice(0, secondSlash);
  if (secondSlash < 0) {
    if (host.probe(token) !== null) return { kind: 'path', rule: 'S9', path: token };
    const attached = readAttachedSwitch(body, specs);
    return attached === null
      ? { kind: 'path', rule: 'S9', path: token }
      : { kind: 'switch', rule: 'S9', ...attached };
  }
  const rule = firstPart.length > 1 ? 'S7' : 'S8';
  const pathSwitch = readAttachedPath(body, specs);
  const isPath =
    pathSwitch === null ||
    host.probe(`/${firstPart}`) !== null ||
    (rule === 'S7' && host.probe(firstPart.slice(pathSwitch.spec.name.length)) === null);
  return isPath ? { kind: 'path', rule, path: token } : { kind: 'switch', rule, ...pathSwitch };
}

/** Any switch after a dash, or on Windows after either character. `null` = no switch of this mode. */
export function readSwitch(body: string, specs: readonly SwitchSpec[]): FoundSwitch | null {
  return readExactSwitch(body, specs) ?? readColonSwitch(body, specs) ?? readAttachedSwitch(body, specs);
}

function startsWithName(body: string, spec: SwitchSpec): boolean {
  return body.slice(0, spec.name.length).toLowerCase() === spec.name;
}

/** Rule S5: a complete switch without a path or free text in it. */
function readExactSwitch(body: string, specs: readonly SwitchSpec[]): FoundSwitch | null {
  for (const spec of specs) {
    if (!startsWithName(body, spec)) continue;
    const rest = body.slice(spec.name.length);
    if (rest === '') return { spec, value: undefined };
    if (
      spec.takes === 'attached' &&
      spec.freeText !== true &&
      spec.name !== 'config' &&
      spec.value.test(rest)
    ) {
      return { spec, value: rest };
    }
  }
  return null;
}

/** Rule S6: the switch, `:` and its value. */
function readColonSwitch(body: string, specs: readonly SwitchSpec[]): FoundSwitch | null {
  for (const spec of specs) {
    if (spec.takes === 'nothing' || !startsWithName(body, spec) || body.charAt(spec.name.length) !== ':')
      continue;
    const value = body.slice(spec.name.length).replace(/^:+/, '');
    if (spec.takes === 'attached' && !spec.value.test(value)) continue;
    return { spec, value: value === '' ? undefined : value };
  }
  return null;
}

/** A switch with a value glued to its letter: any path or text, numbers only where numbers belong. */
function readAttachedSwitch(body: string, specs: readonly SwitchSpec[]): FoundSwitch | null {
  const path = readAttachedPath(body, specs);
  if (path !== null) return path;
  for (const spec of specs) {
    if (spec.takes !== 'attached' || !startsWithName(body, spec)) continue;
    const value = body.slice(spec.name.length);
    if (spec.value.test(value)) return { spec, value };
  }
  return null;
}

/** Path values glued to a letter. Names of several letters (`/kf`, `/vssrec`) want a colon or a blank. */
function readAttachedPath(body: string, specs: readonly SwitchSpec[]): FoundSwitch | null {
  for (const spec of specs) {
    if (spec.takes !== 'path' || spec.name.length !== 1 || !startsWithName(body, spec)) continue;
    const value = body.slice(1);
    if (value !== '') return { spec, value };
  }
  return null;
}
