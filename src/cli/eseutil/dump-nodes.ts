/** `/mn`: the nodes of a table, or of every table (format specification, chapter 6.1.5). */

import type { EseError } from '../../format/ese-error.js';
import { dumpNodes, type TreeNodeReport } from '../../maintenance/dump-page.js';
import { hasSwitch, type Mode, switchValue } from '../mode.js';
import { withDatabase } from './open-database.js';

/** What `table` of the report says when every table was dumped. */
const EVERY_TABLE = '*';

export const dumpNodesMode: Mode = {
  heading: 'FILE DUMP',
  blocks: true,
  run: (context) => {
    const { command, say, wantsReport, jsonLimit } = context;
    say(`         Database: ${command.positional ?? ''}`);
    say();
    return withDatabase(context, (reader, file) => {
      const wanted = switchValue(command, 't') ?? undefined;
      const tables = wanted === undefined ? reader.tables() : [reader.table(wanted)];
      const nodes: (TreeNodeReport & { table?: string })[] = [];
      const errors: EseError[] = [];
      let count = 0;
      for (const { name } of tables) {
        say(`Table: ${name}`);
        for (const node of dumpNodes(reader, name, hasSwitch(command, 'a'), (error) => errors.push(error))) {
          count++;
          say(nodeLine(node));
          if (wantsReport && nodes.length < jsonLimit)
            nodes.push(wanted === undefined ? { ...node, table: name } : node);
        }
        say();
      }
      say(`${count} nodes`);
      const result = {
        table: wanted === undefined ? EVERY_TABLE : (tables[0]?.name ?? wanted),
        nodes,
        ...(wantsReport && count > nodes.length ? { nodesTruncated: true } : {}),
      };
      const [first] = errors;
      return first === undefined ? { result } : { result, error: first.at({ file }) };
    });
  },
};

function nodeLine(node: TreeNodeReport): string {
  const flags = `${node.versioned ? 'v' : ' '}${node.deleted ? 'd' : ' '}`;
  return `${`${node.pgno}:${node.node}`.padStart(12)} (${flags}) key=${node.key} data=${node.data}`;
}
