/**
 * The switches of every classic mode: which letters exist, and what each takes. One letter means different
 * things in different modes, so every mode has a table of its own (format specification, chapter 6.1.5).
 */

export type ModeLetter = 'd' | 'r' | 'g' | 'k' | 'p' | 'm' | 'y' | 'c' | 'z';

/** What a switch takes after its letter. */
export type SwitchSpec =
  /** `/o`: nothing. */
  | { readonly name: string; readonly takes: 'nothing' }
  /** `/l`: a path, attached, attached with a colon, or as the next token. */
  | {
      readonly name: string;
      readonly takes: 'path';
      /** The words for it in usage errors. */
      readonly what: string;
      /** The value may be left out: `/d` of `/r`, `/t` of `/cc`. */
      readonly optional?: true;
      /** May be given more than once: `/n` of `/r`. */
      readonly repeatable?: true;
    }
  /** `/p512`: a value that is only ever attached. */
  | {
      readonly name: string;
      readonly takes: 'attached';
      readonly what: string;
      readonly value: RegExp;
      /** The letter alone is complete too: `/v`, `/u`. */
      readonly optional?: true;
      /**
       * Free text (a table name) cannot be told from a path by its looks, so a file of that name wins; numbers
       * and ranges are switches whatever exists (rules S5 and S9 of chapter 6.1.2).
       */
      readonly freeText?: true;
    };

const NUMBER = /^(?:0x[0-9a-f]+|\d+)$/i;
/** `-1` is the header and `0` its shadow; the range belongs to `/mc`. */
const PAGE_RANGE = /^(?:-?\d+|0x[0-9a-f]+)(?::(?:\d+|0x[0-9a-f]+|max))?$/i;
const FORMAT_VERSION = /^(?:0x[0-9a-f]+|\d+|UsePersistedFormat|UseEngineDefault)$/i;

function flag(name: string): SwitchSpec {
  return { name, takes: 'nothing' };
}

function path(name: string, what: string): SwitchSpec {
  return { name, takes: 'path', what };
}

function attached(name: string, what: string, value: RegExp): SwitchSpec {
  return { name, takes: 'attached', what, value };
}

function maybeAttached(name: string, what: string, value: RegExp): SwitchSpec {
  return { name, takes: 'attached', what, value, optional: true };
}

function freeText(name: string, what: string): SwitchSpec {
  return { name, takes: 'attached', what, value: /^.+$/s, freeText: true };
}

/** Switches of every mode (chapter 6.1.1, rule 5). */
const COMMON: readonly SwitchSpec[] = [
  ...['2', '4', '8', '16', '32', '1', '3'].map(flag),
  flag('o'),
  flag('!'),
  flag('detach'),
  { name: 'config', takes: 'attached', what: 'configuration store', value: /^.+$/s, freeText: true },
  flag('vss'),
  flag('vsspause'),
  path('vssrec', 'logfile base name'),
  path('vsssystempath', 'system path'),
];

const STREAMING_FILE = 'streaming file';

/** The modes' own switches. `c` holds those of `/cc`; `/cm` takes none (chapter 6.1.5). */
const OWN: Readonly<Record<ModeLetter, readonly SwitchSpec[]>> = {
  d: [
    path('t', 'temporary database'),
    flag('p'),
    path('b', 'backup database'),
    path('s', STREAMING_FILE),
    path('f', 'temporary streaming file'),
    flag('i'),
    attached('u', 'engine format version', FORMAT_VERSION),
    attached('efv', 'engine format version', FORMAT_VERSION),
    flag('n'),
    attached('x', 'database extension size', NUMBER),
    attached('w', 'batch I/O size', NUMBER),
    attached('c', 'buffer cache size', NUMBER),
    flag('v'),
  ],
  r: [
    path('l', 'logfile path'),
    path('s', 'system path'),
    flag('i'),
    { name: 'd', takes: 'path', what: 'database directory', optional: true },
    { name: 'n', takes: 'path', what: 'database location', repeatable: true },
    flag('n*'),
    flag('t'),
    flag('a'),
    maybeAttached('u', 'log generation', NUMBER),
    path('k', 'database/filename'),
    path('kf', 'database/filename'),
    path('p', 'database/filename'),
    flag('c5'),
    flag('c8'),
    flag('v'),
    flag('e'),
    attached('efv', 'engine format version', FORMAT_VERSION),
    attached('m', 'temporary database size', NUMBER),
    attached('w', 'waypoint latency', NUMBER),
  ],
  g: [
    path('t', 'temporary database'),
    path('f', 'report file name prefix'),
    flag('n'),
    flag('b'),
    path('s', STREAMING_FILE),
    flag('i'),
  ],
  k: [path('t', 'temporary database'), flag('e'), flag('i'), maybeAttached('p', 'throttle', NUMBER)],
  p: [
    path('t', 'temporary database'),
    path('f', 'report file name prefix'),
    flag('g'),
    flag('n'),
    attached('efv', 'engine format version', FORMAT_VERSION),
    path('s', STREAMING_FILE),
    flag('i'),
    flag('createstm'),
    flag('d'),
  ],
  m: [
    maybeAttached('v', 'verbosity', /^[12]$/),
    flag('a'),
    flag('s'),
    flag('x'),
    flag('l'),
    flag('csv'),
    attached('r', 'log generation range', /^[0-9a-f]+(?:-[0-9a-f]+)?$/i),
    { name: 'f', takes: 'attached', what: 'fields', value: /^.+$/s, optional: true, freeText: true },
    freeText('t', 'table'),
    attached('p', 'page number', PAGE_RANGE),
    attached('n', 'node', /^(?:\[\d+:\d+:\d+\]|\d+:\d+)$/),
    attached('i', 'tag', /^(?:\d+|0x[0-9a-f]+):\d+$/i),
    freeText('k', 'key'),
    { name: 'd', takes: 'attached', what: 'data', value: /^.+$/s, optional: true, freeText: true },
  ],
  y: [path('d', 'destination file'), flag('i')],
  c: [
    { name: 't', takes: 'path', what: 'target instance', optional: true },
    path('f', 'logfile path'),
    flag('k'),
  ],
  z: [flag('t')],
};

/** `/c`: CSV or category output of a flag, but the output file of `/ml` (chapter 6.1.5). */
const LOG_CSV_FILE: SwitchSpec = path('c', 'destination file');

export const MODE_LETTERS: readonly ModeLetter[] = ['d', 'r', 'g', 'k', 'p', 'm', 'y', 'c', 'z'];

/** The letters that may follow `/m` and `/c` (chapter 6.1.3). */
export const MODIFIERS: Readonly<Partial<Record<ModeLetter, string>>> = { m: 'hklmnscptbr', c: 'mc' };

export const DEFAULT_DUMP_MODIFIER = 'h';

/** The switches that a mode (and its modifier) knows, longest name first. */
export function switchesOf(mode: ModeLetter, modifier: string | null): readonly SwitchSpec[] {
  let own = OWN[mode];
  if (mode === 'c' && modifier === 'm') own = [];
  if (mode === 'm') own = [...own, modifier === 'l' ? LOG_CSV_FILE : flag('c')];
  return [...own, ...COMMON].sort((a, b) => b.name.length - a.name.length);
}
