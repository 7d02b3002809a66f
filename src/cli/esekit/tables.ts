/** `esekit tables FILE`: the tables of a database. */

import { listTables } from '../../maintenance/table-list.js';
import type { Verb } from '../verb.js';
import { withDatabase } from './with-database.js';

const HEADINGS = ['Table', 'Objid', 'Rows', 'Columns', 'Indexes', 'System'] as const;

export const tablesVerb: Verb = {
  blocks: true,
  run: (context) =>
    withDatabase(context, (reader) => {
      const tables = listTables(reader);
      const nameWidth = Math.max(HEADINGS[0].length, ...tables.map((table) => table.name.length));
      const line = (cells: readonly (string | number)[]) =>
        cells
          .map((cell, i) => (i === 0 ? String(cell).padEnd(nameWidth) : String(cell).padStart(9)))
          .join(' ');
      context.say(line(HEADINGS));
      for (const { name, objid, rows, columns, indexes, system } of tables) {
        context.say(line([name, objid, rows ?? 'damaged', columns, indexes, system ? 'yes' : 'no']));
      }
      return { result: { tables } };
    }),
};
