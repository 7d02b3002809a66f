const TABLE_LINE = /^([^\t]+):\t\d+:\t/;

/**
 * A report as what it says: without version, thread numbers and times, blocks of tables in one piece, and
 * without the lines of a repair.
 */
export function integrityMeaning(report: string): string[] {
  const lines = report.replaceAll('\r', '').split('\n');
  const end = lines.findIndex(
    (line) => line.startsWith('changing signature') || /^Integrity check/.test(line),
  );
  const body = lines
    .slice(1, end < 0 ? lines.length : end)
    .filter((line) => line !== '' && !line.startsWith('note: ') && !line.startsWith('Creating '))
    .map((line) => line.replace('.\\SRUDB.dat', 'SRUDB.dat').replace(TABLE_LINE, '$1:\t'));
  const tables = [...new Set(body.flatMap((line) => /^([^\t]+):\t/.exec(line)?.[1] ?? []))];
  const firstTable = body.findIndex((line) => line.includes('\t'));
  const blocks = tables.flatMap((table) => body.filter((line) => line.startsWith(`${table}:\t`)));
  const rest = body.filter((line) => !line.includes('\t'));
  return [...rest.slice(0, firstTable), ...blocks, ...rest.slice(firstTable)];
}
