/** `esekit stat FILE`: rows, trees, pages and space. */

import { databaseStatistics, type TreeStatistics } from '../../maintenance/statistics.js';
import type { Verb } from '../verb.js';
import { withDatabase } from './with-database.js';

const HEADINGS = ['Tree', 'Entries', 'Depth', 'Leaves', 'Internal', 'Owned', 'Available'] as const;
const COLUMN_WIDTH = 9;

export const statVerb: Verb = {
  blocks: true,
  run: (context) =>
    withDatabase(context, (reader) => {
      const { say } = context;
      const result = databaseStatistics(reader);
      const { pageSize, state, pages, ownedPages, availablePages, leakedPages, tables, rows, trees } = result;
      say(`${pages} pages of ${pageSize} bytes, ${state}`);
      say(`${ownedPages} owned, ${availablePages} available, ${leakedPages} leaked`);
      say(`${rows ?? 'unknown'} rows in ${tables} tables, system tables not counted`);
      say('');
      const names = trees.map(nameOf);
      const width = Math.max(HEADINGS[0].length, ...names.map(({ length }) => length));
      const line = ([name, ...cells]: readonly (string | number)[]) =>
        [String(name).padEnd(width), ...cells.map((cell) => String(cell).padStart(COLUMN_WIDTH))].join(' ');
      say(line(HEADINGS));
      for (const [i, tree] of trees.entries()) {
        const { entries, depth, leafPages, internalPages } = tree;
        const counts = [depth, leafPages, internalPages, tree.ownedPages, tree.availablePages];
        say(line([names[i] ?? '', entries ?? 'damaged', ...counts]));
      }
      return { result };
    }),
};

function nameOf({ type, name }: TreeStatistics): string {
  if (type === 'database') return name;
  return type === 'rows' ? `  ${name}` : `    ${name}`;
}
