/** `esekit inject FILE --fault KIND --seed S --yes`: damage on purpose. */

import { resolve } from 'node:path';
import { FAULT_KINDS, FAULT_PLACES, injectFault } from '../../drill/inject.js';
import { sourceFile } from '../typed-path.js';
import { UsageError } from '../usage-error.js';
import type { Verb, VerbContext } from '../verb.js';
import { wholeNumber } from './place.js';

const SEED_DEFAULT = 1;

export const injectVerb: Verb = {
  writes: ({ yes }) => yes === true,
  run: (context) => {
    const { host, options, say } = context;
    const { fault, yes } = options;
    if (fault === 'list') return listFaults(context);
    if (fault === undefined || !FAULT_KINDS.some(([name]) => name === fault)) {
      const what =
        fault === undefined ? 'Missing --fault specification.' : `There is no fault '${String(fault)}'.`;
      throw new UsageError(`Usage Error: ${what} --fault list says what there is.`);
    }
    const { at } = options;
    if (at !== undefined && !FAULT_PLACES.some(([name]) => name === at)) {
      throw new UsageError(
        `Usage Error: There is no place '${String(at)}'. --fault list says what there is.`,
      );
    }
    const count = wholeNumber(context, 'count');
    if (count === 0) throw new UsageError('Usage Error: --count is at least 1.');
    const file = resolve(sourceFile(host, String(options.file ?? ''), 'source file'));
    if (yes !== true) {
      throw new UsageError(`Usage Error: inject damages ${file} on purpose; --yes says that this is meant.`);
    }
    const text = (name: string) => (options[name] === undefined ? undefined : String(options[name]));
    const older = text('from');
    const report = injectFault(host.fs, file, {
      fault: String(fault),
      seed: wholeNumber(context, 'seed') ?? SEED_DEFAULT,
      at: text('at'),
      table: text('table'),
      index: text('index'),
      pgno: wholeNumber(context, 'page'),
      count,
      older: older === undefined ? undefined : resolve(sourceFile(host, older, 'older copy')),
    });
    say(JSON.stringify(report, null, 2));
    return { result: report };
  },
};

function listFaults({ say }: VerbContext) {
  const lists = [
    ['Faults (--fault):', FAULT_KINDS],
    ['Places (--at), for faults of bytes and of the catalog:', FAULT_PLACES],
  ] as const;
  for (const [title, items] of lists) {
    const width = Math.max(...items.map(([name]) => name.length));
    say(title);
    for (const [name, about] of items) say(`  ${name.padEnd(width)}  ${about}`);
  }
  return { result: { faults: Object.fromEntries(FAULT_KINDS), places: Object.fromEntries(FAULT_PLACES) } };
}
