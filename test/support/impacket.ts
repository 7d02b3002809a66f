import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * `impacket` as an independent judge of what this project writes: a second reader that has nothing in common with
 * libesedb. What it shows in another way is told in `docs/impacket.md`.
 */

/** Debian's package is for this one, whichever else is in the path. */
const PYTHON = '/usr/bin/python3';
const SCRIPT = fileURLToPath(new URL('impacket-rows.py', import.meta.url));
const OUTPUT_BYTES = 2 ** 28;

/** Whether impacket is installed. Tests that need it say so when they skip. */
export const hasImpacket = spawnSync(PYTHON, ['-c', 'import impacket.ese']).status === 0;

/** A row as impacket shows it: text as text, numbers in decimal, bytes in hexadecimal; null = NULL. */
export type ImpacketRow = Readonly<Record<string, string | null>>;

/** All rows of all tables, by table, in the order in which impacket finds them. */
export function impacketRows(database: string, pageSize: number): Map<string, ImpacketRow[]> {
  const output = execFileSync(PYTHON, [SCRIPT, database, String(pageSize)], {
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES,
  });
  const tables = new Map<string, ImpacketRow[]>();
  for (const line of output.split('\n')) {
    if (line === '') continue;
    const { table, row } = JSON.parse(line) as { table: string; row: ImpacketRow };
    const rows = tables.get(table);
    if (rows === undefined) tables.set(table, [row]);
    else rows.push(row);
  }
  return tables;
}
