/** What a classic command line says once it has been read. */

import type { LongOptions } from './long-options.js';
import type { ModeLetter } from './mode-switches.js';

/** A switch as given; `value` is `null` where none was given. */
export interface SwitchUse {
  readonly name: string;
  readonly value: string | null;
}

/** How one token was read, for `--explain-args` and for hints. */
export interface TokenReading {
  readonly token: string;
  readonly rule: string;
  readonly reading: string;
}

export interface ModeCommand {
  readonly kind: 'mode';
  readonly mode: ModeLetter;
  readonly modifier: string | null;
  /** The source file, base name or directory, as typed; `null` = none. */
  readonly positional: string | null;
  /** In the order given. */
  readonly switches: readonly SwitchUse[];
  readonly long: LongOptions;
  readonly readings: readonly TokenReading[];
  /** Lines that help a reader whose mandatory argument is missing. */
  readonly hints: readonly string[];
}

export interface HelpCommand {
  readonly kind: 'help';
  /** The mode whose page is wanted; `null` = the general help. */
  readonly mode: ModeLetter | null;
  /** `/?` as the mode is a usage error of the original; `--help` and `/d /?` are not. */
  readonly asked: boolean;
  readonly long: LongOptions;
}

export interface VersionCommand {
  readonly kind: 'version';
  readonly long: LongOptions;
}

export type SlashCommand = ModeCommand | HelpCommand | VersionCommand;
