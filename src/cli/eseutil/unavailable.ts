/** Modes that the grammar knows and this version does not have yet: one clear line, never a fake success. */

import { EseError } from '../../format/ese-error.js';
import type { Mode } from '../mode.js';
import type { ModeCommand } from '../slash-command.js';
import { MissingArgument } from '../usage-error.js';

const NAMES: Readonly<Record<string, readonly [heading: string | null, name: string]>> = {
  z: ['SECURE', '/z (secure)'],
  cm: [null, '/cm (restore environment)'],
  cc: [null, '/cc (hard recovery)'],
};

/** A mode that ends with `JET_errFeatureNotAvailable` and has opened nothing. */
export function unavailableMode(command: ModeCommand): Mode {
  const key = command.mode + (command.mode === 'c' ? command.modifier : '');
  const [heading, name] = NAMES[key] ?? ['FILE DUMP', `/${command.mode}${command.modifier ?? ''}`];
  return {
    heading,
    run: () => {
      if ((command.positional ?? '') === '' && command.mode !== 'c') throw new MissingArgument('source file');
      throw new EseError('JET_errFeatureNotAvailable', `${name} is not available in this version`);
    },
  };
}
