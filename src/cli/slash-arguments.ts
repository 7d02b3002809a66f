/**
 * The classic command line: `eseutil /mode [source] [/options] [--long-options]`.
 *
 * On Windows `/` and `-` both introduce switches. Elsewhere `/` is also the root of every absolute path, so the
 * first character of the mode switch chooses the style: after a dash only dashes introduce switches; after a
 * slash every token is classified once, left to right, by the rules S0 to S9 (format specification, chapter
 * 6.1.1 to 6.1.3). The file system is asked only whether a name exists, never opened.
 */

import {
  findLongOption,
  isLongOption,
  type LongOptions,
  longName,
  normaliseDash,
  readLongOption,
} from './long-options.js';
import {
  DEFAULT_DUMP_MODIFIER,
  MODE_LETTERS,
  MODIFIERS,
  type ModeLetter,
  type SwitchSpec,
  switchesOf,
} from './mode-switches.js';
import type {
  HelpCommand,
  ModeCommand,
  SlashCommand,
  SwitchUse,
  TokenReading,
  VersionCommand,
} from './slash-command.js';
import { type ArgumentHost, classifySlashToken, type Reading, readSwitch } from './slash-token.js';
import { checkCombination } from './switch-rules.js';
import { UsageError } from './usage-error.js';

type Style = 'slash' | 'dash' | 'windows';

const RULES_OF_POSITIONAL = "Options must be preceded by '-' or '/'.";

/**
 * Reads a command line.
 *
 * @param argv the tokens after the program name, as the shell left them
 * @throws UsageError where the tokens name no command
 */
export function parseSlashArguments(argv: readonly string[], host: ArgumentHost): SlashCommand {
  const tokens = joinTypographicQuotes(argv).map(normaliseDash);
  const { modeToken, rest, early } = splitModeToken(tokens);
  if (modeToken === undefined) {
    const long = readEarlyOptions(early);
    if (long.has('help')) return { kind: 'help', mode: null, asked: true, long };
    if (long.has('version')) return { kind: 'version', long };
    throw new UsageError('Usage Error: No mode specified.');
  }
  readEarlyOptions(early);
  return new Parser(modeToken, [...early, ...rest], host).parse();
}

/** A copied recipe may quote with “ ”, which no shell removes (chapter 6.1.1, rule 7). */
function joinTypographicQuotes(argv: readonly string[]): string[] {
  const joined: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const first = argv[i] ?? '';
    if (!first.startsWith('“')) {
      joined.push(first);
      continue;
    }
    const end = argv.findIndex((token, at) => at >= i && token.endsWith('”') && (at > i || token.length > 1));
    if (end < 0)
      throw new UsageError(`Usage Error: Invalid argument '${first}'. The quotation mark “ is never closed.`);
    joined.push(
      argv
        .slice(i, end + 1)
        .join(' ')
        .slice(1, -1),
    );
    i = end;
  }
  return joined;
}

/** The mode switch is the first token that is not one of the few long options allowed before it. */
function splitModeToken(tokens: readonly string[]): {
  readonly modeToken: string | undefined;
  readonly early: string[];
  readonly rest: string[];
} {
  const early: string[] = [];
  let at = 0;
  for (; at < tokens.length; at++) {
    const token = tokens[at] ?? '';
    if (!isLongOption(token)) break;
    early.push(token);
    const spec = findLongOption(longName(token));
    if (spec?.takes === 'value' && !token.includes('=') && at + 1 < tokens.length)
      early.push(tokens[++at] ?? '');
  }
  return { modeToken: tokens[at], early, rest: tokens.slice(at + 1) };
}

function readEarlyOptions(early: readonly string[]): LongOptions {
  const long = new Map<string, string | null>();
  for (let at = 0; at < early.length; ) {
    const token = early[at] ?? '';
    if (findLongOption(longName(token))?.early !== true) {
      throw new UsageError(
        `Usage Error: Invalid option '${token}'. Only --help, --version, --json, --jsonl and --compat may precede the mode.`,
      );
    }
    at += readLongOption(early, at, null, long);
  }
  return long;
}

/** The state of one reading, left to right; the rules themselves are pure functions below. */
class Parser {
  private readonly modeToken: string;
  private readonly tokens: readonly string[];
  private readonly host: ArgumentHost;
  private readonly style: Style;
  private readonly readings: TokenReading[] = [];
  private readonly switches: SwitchUse[] = [];
  private readonly long = new Map<string, string | null>();
  private readonly hints: string[] = [];
  private readonly positionals: { token: string; path: string }[] = [];
  private mode: ModeLetter = 'm';
  private modifier: string | null = null;
  /** Index of the token that was taken as the modifier by the scan; it is skipped. */
  private modifierAt = -1;
  private specs: readonly SwitchSpec[] = [];
  /** A lone `--` has been passed. */
  private pathsOnly = false;

  constructor(modeToken: string, tokens: readonly string[], host: ArgumentHost) {
    this.modeToken = modeToken;
    this.tokens = tokens;
    this.host = host;
    this.style = host.platform === 'windows' ? 'windows' : modeToken.startsWith('-') ? 'dash' : 'slash';
  }

  parse(): SlashCommand {
    const help = this.readMode();
    if (help !== null) return help;
    this.specs = switchesOf(this.mode, this.modifier);
    const early = this.readTokens();
    if (early !== null) return early;
    this.settlePositionals();
    const command: ModeCommand = {
      kind: 'mode',
      mode: this.mode,
      modifier: this.modifier,
      positional: this.positionals[0]?.path ?? null,
      switches: this.switches,
      long: this.long,
      readings: this.readings,
      hints: this.hints,
    };
    checkCombination(command, this.host);
    return command;
  }

  private note(token: string, rule: string, reading: string): void {
    this.readings.push({ token, rule, reading });
  }

  /** Rule S0, the mode letter, and the modifier letter of `/m` and `/c` (chapter 6.1.3). */
  private readMode(): HelpCommand | null {
    const token = this.modeToken.trimEnd();
    if (!/^[-/]/.test(token)) {
      const hints = /^[A-Za-z]:\/.*\/[a-z]{1,2}[^/]*$/.test(token)
        ? [
            `'${token}' looks like a switch that the shell turned into a path; write -${token.slice(token.lastIndexOf('/') + 1)}`,
          ]
        : ['a mode such as /mh must come first'];
      throw new UsageError("Usage Error: Mode selection must be preceded by '-' or '/'.", hints);
    }
    if (this.style === 'slash' && token.length > 3 && this.host.probe(token) !== null) {
      throw new UsageError('Usage Error: No mode specified.', [
        `'${token}' was read as a path, because it exists; a mode such as /mh must come first`,
      ]);
    }
    const letter = token.charAt(1).toLowerCase();
    if (letter === '?') return { kind: 'help', mode: null, asked: false, long: this.readLongOnly() };
    const mode = MODE_LETTERS.find((known) => known === letter);
    if (mode === undefined) {
      throw new UsageError(
        'Usage Error: Invalid mode.',
        letter === '' ? [] : [`no mode has the letter '${letter}'`],
      );
    }
    this.mode = mode;
    const text = token.slice(2);
    if (MODIFIERS[mode] === undefined) {
      this.note(token, 'S0', `mode ${mode}${text === '' ? '' : ` with '${text}'`}`);
      if (text === '?') return { kind: 'help', mode, asked: true, long: this.readLongOnly() };
      if (text !== '') this.addPositional(token, stripQuote(text));
      return null;
    }
    return this.readModifier(token, text, MODIFIERS[mode]);
  }

  private readModifier(token: string, text: string, valid: string): HelpCommand | null {
    const first = text.charAt(0).toLowerCase();
    if (text === '?') return { kind: 'help', mode: this.mode, asked: true, long: this.readLongOnly() };
    if (text.length === 1) {
      if (!valid.includes(first))
        throw new UsageError('Usage Error: Invalid mode.', [`/${this.mode} has no modifier '${first}'`]);
      this.modifier = first;
      this.note(token, 'S0', `mode ${this.mode}, modifier ${first}`);
      return null;
    }
    const isModifierAndPath =
      this.style !== 'windows' &&
      valid.includes(first) &&
      text.charAt(1) === '/' &&
      this.host.probe(text) === null;
    if (isModifierAndPath) {
      this.modifier = first;
      this.note(token, 'S0', `mode ${this.mode}, modifier ${first}, path '${text.slice(1)}'`);
      this.addPositional(token, stripQuote(text.slice(1)));
      return null;
    }
    this.note(token, 'S0', `mode ${this.mode}${text === '' ? '' : ` with '${text}'`}`);
    this.scanForModifier(valid);
    if (text !== '') this.addPositional(token, stripQuote(text));
    if (this.modifier === null) {
      if (this.tokens.some((later) => this.isHelpSwitch(later) || later === '--help')) {
        return { kind: 'help', mode: this.mode, asked: true, long: this.readLongOnly() };
      }
      if (this.mode === 'c') throw new UsageError('Usage Error: Invalid mode.', ['write /cc or /cm']);
      this.modifier = DEFAULT_DUMP_MODIFIER;
    }
    return null;
  }

  /** The first two-character switch whose letter is a modifier is the modifier, wherever it stands. */
  private scanForModifier(valid: string): void {
    const end = this.tokens.indexOf('--');
    const scanned = end < 0 ? this.tokens : this.tokens.slice(0, end);
    this.modifierAt = scanned.findIndex((token) => {
      const trimmed = token.trimEnd();
      if (trimmed.length !== 2 || !valid.includes(trimmed.charAt(1).toLowerCase())) return false;
      return trimmed.startsWith('-') || (trimmed.startsWith('/') && this.style !== 'dash');
    });
    if (this.modifierAt >= 0) this.modifier = (this.tokens[this.modifierAt] ?? '').charAt(1).toLowerCase();
  }

  private isHelpSwitch(token: string): boolean {
    return token === '-?' || (token === '/?' && this.style !== 'dash');
  }

  /** Long options of a help request; everything else on its line is ignored. */
  private readLongOnly(): LongOptions {
    const long = new Map<string, string | null>();
    for (let at = 0; at < this.tokens.length; ) {
      const token = this.tokens[at] ?? '';
      if (token === '--') break;
      at += isLongOption(token) ? readLongOption(this.tokens, at, null, long) : 1;
    }
    return long;
  }

  /** Every token after the mode switch; an early answer (`/?`, `--help`) ends the reading. */
  private readTokens(): HelpCommand | VersionCommand | null {
    for (let at = 0; at < this.tokens.length; ) {
      const token = this.tokens[at] ?? '';
      if (at === this.modifierAt) {
        this.note(token, 'S5', `modifier ${this.modifier}`);
        at++;
      } else if (this.pathsOnly) {
        this.takePositional(token, 'S1', stripQuote(token));
        at++;
      } else if (token === '--') {
        this.note(token, '', 'only paths follow');
        this.pathsOnly = true;
        at++;
      } else if (isLongOption(token)) {
        const taken = readLongOption(this.tokens, at, this.mode, this.long);
        this.note(this.tokens.slice(at, at + taken).join(' '), '', 'long option');
        at += taken;
      } else if (this.isHelpSwitch(token)) {
        return { kind: 'help', mode: this.mode, asked: true, long: this.readLongOnly() };
      } else {
        at = this.readToken(token, at);
      }
    }
    if (this.long.has('help')) return { kind: 'help', mode: this.mode, asked: true, long: this.long };
    if (this.long.has('version')) return { kind: 'version', long: this.long };
    return null;
  }

  private readToken(token: string, at: number): number {
    const reading = this.classify(token);
    if (reading.kind === 'path') {
      this.takePositional(token, reading.rule, stripQuote(reading.path));
      return at + 1;
    }
    return this.takeSwitch(token, reading.rule, reading.spec, reading.value, at);
  }

  private classify(token: string): Reading {
    const dash = token.startsWith('-') && token.length > 1;
    const slash = token.startsWith('/');
    if (dash || (slash && this.style === 'windows')) {
      const rule = dash ? 'S2' : 'switch';
      const found = readSwitch(token.slice(1).trimEnd(), this.specs);
      if (found === null) throw this.invalidOption(token);
      return { kind: 'switch', rule, spec: found.spec, value: found.value };
    }
    if (!slash) return { kind: 'path', rule: 'S3', path: token };
    if (this.style === 'dash') return { kind: 'path', rule: 'dash style', path: token };
    return classifySlashToken(token, this.specs, this.host);
  }

  private invalidOption(token: string): UsageError {
    return new UsageError(
      `Usage Error: Invalid option '${token}'.`,
      token.startsWith('/') ? [`'${token}' was read as a switch`] : [],
    );
  }

  /** Takes the value of a switch, from the token itself or from the next; returns the next index. */
  private takeSwitch(
    token: string,
    rule: string,
    spec: SwitchSpec,
    attachedValue: string | undefined,
    at: number,
  ): number {
    if (spec.name === 'vssrec') return this.takeTwoValues(token, spec, at);
    if (spec.takes === 'nothing') {
      this.note(token, rule, `switch ${spec.name}`);
      this.addSwitch(spec, null);
      return at + 1;
    }
    if (attachedValue !== undefined) {
      const value = spec.takes === 'path' ? stripQuote(attachedValue) : attachedValue;
      this.note(token, rule, `switch ${spec.name} with '${value}'`);
      this.addSwitch(spec, value);
      return at + 1;
    }
    if (spec.takes === 'attached') {
      if (spec.optional !== true) throw this.missing(spec.what, token, rule);
      this.note(token, rule, `switch ${spec.name}`);
      this.addSwitch(spec, null);
      return at + 1;
    }
    const next = this.valueAt(at + 1, spec.optional === true);
    if (next === null) {
      if (spec.optional !== true) throw this.missing(spec.what, token, rule);
      this.note(token, rule, `switch ${spec.name} without value`);
      this.addSwitch(spec, null);
      return at + 1;
    }
    const value = stripQuote(next.path);
    this.note(token, rule, `switch ${spec.name}`);
    this.note(this.tokens.slice(at + 1, next.end).join(' '), next.rule, `value of ${spec.name}: '${value}'`);
    this.addSwitch(spec, value);
    return next.end;
  }

  private takeTwoValues(token: string, spec: SwitchSpec, at: number): number {
    const base = this.valueAt(at + 1, false);
    const logs = base === null ? null : this.valueAt(base.end, false);
    if (base === null || logs === null) {
      throw this.missing(base === null ? 'logfile base name' : 'logfile path', token, 'S5');
    }
    this.note(token, 'S5', `switch ${spec.name} with '${base.path}' and '${logs.path}'`);
    this.addSwitch(spec, `${base.path}\0${logs.path}`);
    return logs.end;
  }

  private missing(what: string, token: string, rule: string): UsageError {
    const hints = token.startsWith('/') ? [`'${token}' was read as a switch (rule ${rule})`] : [];
    return new UsageError(`Usage Error: Missing ${what} specification.`, hints);
  }

  /** The token at `at` as the value of the bare switch before it, or `null` (chapter 6.1.2, "Values"). */
  private valueAt(at: number, optional: boolean): { path: string; rule: string; end: number } | null {
    const token = this.tokens[at];
    if (token === undefined || at === this.modifierAt) return null;
    if (token === '--') {
      const after = this.tokens[at + 1];
      if (after === undefined) return null;
      this.pathsOnly = true;
      return { path: after, rule: 'S1', end: at + 2 };
    }
    if (token.startsWith('-') && token.length > 1) return null;
    if (!token.startsWith('/')) return { path: token, rule: 'S3', end: at + 1 };
    if (this.style === 'windows') return null;
    if (this.style === 'dash') return { path: token, rule: 'dash style', end: at + 1 };
    if (this.isHelpSwitch(token)) return null;
    const reading = classifySlashToken(token, this.specs, this.host);
    if (reading.kind === 'path') return { path: reading.path, rule: reading.rule, end: at + 1 };
    const mayStillBeValue =
      !optional && reading.rule !== 'S5' && reading.rule !== 'S6' && reading.rule !== 'S8';
    return mayStillBeValue ? { path: token, rule: 'value', end: at + 1 } : null;
  }

  private addSwitch(spec: SwitchSpec, value: string | null): void {
    const given = this.switches.some((use) => use.name === spec.name);
    if (given && spec.takes !== 'nothing' && !(spec.takes === 'path' && spec.repeatable === true)) {
      throw new UsageError(`Usage Error: Duplicate ${spec.what} specification.`);
    }
    this.switches.push({ name: spec.name, value });
    if (this.style === 'slash' && /^[a-z]$/.test(spec.name) && this.host.probe(`/${spec.name}`) !== null) {
      this.hints.push(`to name the ${this.host.probe(`/${spec.name}`)} /${spec.name} write //${spec.name}`);
    }
  }

  private takePositional(token: string, rule: string, path: string): void {
    this.note(token, rule, `${this.positionals.length === 0 ? positionalName(this.mode) : 'path'} '${path}'`);
    this.addPositional(token, path);
    if (this.positionals.length < 2 || this.mayHoldModifier()) return;
    throw this.secondPositional();
  }

  private addPositional(token: string, path: string): void {
    this.positionals.push({ token, path });
  }

  /** `/m h file.edb`, as some guides write it: the first of two positionals may be the modifier. */
  private mayHoldModifier(): boolean {
    const first = this.positionals[0]?.path ?? '';
    const valid = MODIFIERS[this.mode];
    return (
      this.positionals.length === 2 &&
      this.mode === 'm' &&
      this.modeToken.length === 2 &&
      this.modifierAt < 0 &&
      first.length === 1 &&
      valid?.includes(first.toLowerCase()) === true &&
      this.host.probe(first) === null
    );
  }

  private secondPositional(): UsageError {
    const last = this.positionals.at(-1)?.token ?? '';
    const hints: string[] = [];
    if (last.startsWith('/')) {
      const isSwitch = readSwitch(last.slice(1).trimEnd(), this.specs) !== null;
      const switchHint = !isSwitch
        ? `; /${this.mode}${this.modifier ?? ''} has no such switch`
        : this.style === 'dash'
          ? `; in dash style only '-' introduces switches, write -${last.slice(1)}`
          : `; if it is meant as a switch write -${last.slice(1)}`;
      hints.push(`'${last}' was read as a path${switchHint}`);
    }
    return new UsageError(`Usage Error: Invalid argument '${last}'. ${RULES_OF_POSITIONAL}`, hints);
  }

  private settlePositionals(): void {
    if (this.positionals.length < 2) return;
    this.modifier = (this.positionals[0]?.path ?? '').toLowerCase();
    this.positionals.shift();
  }
}

function positionalName(mode: ModeLetter): string {
  return mode === 'r' ? 'base name' : mode === 'c' ? 'restore directory' : 'source';
}

/** `"C:\logs\"` reaches a Windows program with a quote at its end (chapter 6.1.1, rule 7). */
function stripQuote(value: string): string {
  return value.endsWith('"') ? value.slice(0, -1) : value;
}
