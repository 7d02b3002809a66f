/** `esekit verify FILE --journal J`: is everything that the journal of a load promises in the database? */

import { readJournal } from '../../drill/journal.js';
import { type JournalVerdict, type RowFinding, verifyJournal } from '../../drill/verify-journal.js';
import { sourceFile } from '../typed-path.js';
import type { Verb, VerbContext } from '../verb.js';
import { withDatabase } from './with-database.js';

const LINES_MOST = 20;

export const verifyVerb: Verb = {
  blocks: true,
  run: async (context) => {
    const { host, options } = context;
    const journal = readJournal(host.fs, sourceFile(host, String(options.journal ?? ''), 'journal'));
    const verdict = await withDatabase(context, (reader) => verifyJournal(reader, journal));
    print(context, verdict);
    return { result: verdict, findingsRemain: !verdict.ok };
  },
};

function print({ say }: VerbContext, { ok, transactions, rows }: JournalVerdict): void {
  say(
    `Transactions: ${transactions.journalled} in the journal, ${transactions.present} in the database, ` +
      `${transactions.missing.length} missing.`,
  );
  if (transactions.missing.length > 0) say(`  missing: ${list(transactions.missing)}`);
  if (transactions.holes.length > 0) say(`  lost out of order: ${list(transactions.holes)}`);
  if (transactions.unjournalled.length > 0) {
    say(`  durable before the journal could say so: ${list(transactions.unjournalled)}`);
  }
  say(
    `Rows: ${rows.expected} expected, ${rows.found} found; ${rows.missing.length} missing, ` +
      `${rows.different.length} different, ${rows.extra.length} too many.`,
  );
  const findings: [string, readonly RowFinding[]][] = [
    ['missing', rows.missing],
    ['different', rows.different],
    ['too many', rows.extra],
  ];
  for (const [what, found] of findings) {
    for (const { table, key, seq } of found.slice(0, LINES_MOST)) {
      say(`  ${what}: ${table} ${key.join(' ')}${seq === null ? '' : ` (transaction ${seq})`}`);
    }
    if (found.length > LINES_MOST) say(`  ${what}: ${found.length - LINES_MOST} more`);
  }
  say(
    ok ? 'Everything that the journal promises is there.' : 'The database is NOT what the journal promises.',
  );
}

function list(numbers: readonly number[]): string {
  const more = numbers.length > LINES_MOST ? ` and ${numbers.length - LINES_MOST} more` : '';
  return numbers.slice(0, LINES_MOST).join(', ') + more;
}
