/** `/mc`: what every page is used for (format specification, chapters 6.1.5 and 11.4.1). */

import type { EseError } from '../../format/ese-error.js';
import { categorizeSpace, type SpaceCategoryReport } from '../../maintenance/space-category.js';
import { hasSwitch, type Mode, type ModeContext, switchValue } from '../mode.js';
import type { ModeCommand } from '../slash-command.js';
import { UsageError } from '../usage-error.js';
import { withDatabase } from './open-database.js';

export const dumpSpaceCategoryMode: Mode = {
  heading: 'FILE DUMP',
  longRunning: true,
  run: (context) => {
    const { command, say, signal } = context;
    const range = pageRange(command);
    const isFull = hasSwitch(command, 'f');
    const listsPages = hasSwitch(command, 'v');
    say(`         Database: ${command.positional ?? ''}`);
    return withDatabase(context, async (reader, file) => {
      let damage: EseError | undefined;
      const bar = context.progress('Space Categorization Status (% complete)');
      if (listsPages) {
        say();
        say('Pgno,Objid,Category');
      }
      const result = await categorizeSpace(reader, {
        ...range,
        full: isFull,
        pagesMax: listsPages && context.wantsReport ? context.jsonLimit : undefined,
        onPage: listsPages
          ? ({ pgno, objid, category }) => say(`${pgno},${objid ?? ''},${category}`)
          : undefined,
        onDamage: (error) => {
          damage ??= error;
          context.warn({ code: error.code, name: error.name, message: error.message, file });
        },
        onProgress: bar.update,
        signal,
      });
      bar.complete();
      if (!listsPages) printCounts(context, result);
      return damage === undefined ? { result } : { result, error: damage.at({ file }) };
    });
  },
};

const NAME_WIDTH = 40;
const COUNT_WIDTH = 12;

function printCounts({ say }: ModeContext, { range, counts }: SpaceCategoryReport): void {
  const row = (name: string, count: string | number) =>
    say(name.padEnd(NAME_WIDTH) + String(count).padStart(COUNT_WIDTH));
  say();
  say(`Pages ${range[0]}-${range[1]}`);
  say();
  row('Category', 'Pages');
  say('='.repeat(NAME_WIDTH + COUNT_WIDTH));
  for (const [name, count] of Object.entries(counts)) row(name, count);
  say('-'.repeat(NAME_WIDTH + COUNT_WIDTH));
  row('', range[1] - range[0] + 1);
}

/** `/p<n>` is one page, `/p<n>:<m>` a range, `/p<n>:max` the rest of the file. */
function pageRange(command: ModeCommand): { first?: number; last?: number } {
  const text = switchValue(command, 'p');
  if (typeof text !== 'string') return {};
  const [low = '', high = low] = text.toLowerCase().split(':');
  const first = Number(low);
  const last = high === 'max' ? Number.POSITIVE_INFINITY : Number(high);
  if (first < 1 || last < first) {
    throw new UsageError(`Usage Error: Invalid option '/p${text}'.`, ['pages are counted from 1']);
  }
  return { first, last };
}
