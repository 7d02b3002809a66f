/** `/mp`: a flush map file (format specification, chapters 1.6 and 6.1.5). */

import { dumpFlushMap, type FlushMapReport } from '../../maintenance/dump-flush-map.js';
import { signatureText, timeText } from '../classic-text.js';
import { type Mode, type ModeContext, switchValue } from '../mode.js';
import { requireKind, sourceFile } from '../typed-path.js';

/** `/p-1` is the header, which is shown anyway. */
function mapPageOf(value: string | null | undefined): number | undefined {
  if (value === undefined || value === null) return undefined;
  const page = Number(value.split(':')[0]);
  return page < 0 ? undefined : page;
}

export const dumpFlushMapMode: Mode = {
  heading: 'FILE DUMP',
  blocks: true,
  run: (context) => {
    const { host, command, say } = context;
    const file = sourceFile(host, command.positional, 'source file');
    say(`      Flush Map File: ${command.positional}`);
    requireKind(host, file, 'flushMap');
    const mapPage = mapPageOf(switchValue(command, 'p'));
    const { report, error } = dumpFlushMap(host.fs, file, mapPage);
    printMap(context, report);
    return error === undefined ? { result: report } : { result: report, error };
  },
};

const STATES_PER_LINE = 64;

function printMap({ say }: ModeContext, map: FlushMapReport): void {
  const { major, updateMajor, updateMinor } = map.version;
  say();
  say(`            Version: ${major},${updateMajor},${updateMinor}`);
  say(`              Clean: ${map.clean ? 'Yes' : 'No'}`);
  say(`            Created: ${timeText(map.timeCreate)}`);
  say(`        Last Attach: ${timeText(map.timeAttach)}`);
  say(`        Last Detach: ${timeText(map.timeDetach)}`);
  say(`     Min. Gen. Req.: ${map.genMinRequired} (target ${map.genMinRequiredTarget})`);
  say(`    Full Flush From: ${timeText(map.timeFullFlushStart)}`);
  say(`      Full Flush To: ${timeText(map.timeFullFlushEnd)}`);
  say(`       DB Signature: ${signatureText(map.signDb)}`);
  say(`      Map Signature: ${signatureText(map.signFlushMap)}`);
  say(`         Data Pages: ${map.pages}`);
  for (const page of map.mapPages) {
    const state = page.unknown ? 'nothing known' : page.ok ? 'OK' : 'DAMAGED';
    say(
      `      Page ${page.number}: pages ${page.pgnos.low}-${page.pgnos.high}, highest dbtime ${page.dbtimeMax}, ${state}`,
    );
  }
  const entries = map.entries ?? [];
  const known = entries.findLastIndex((entry) => entry.value !== 0);
  for (let at = 0; at <= known; at += STATES_PER_LINE) {
    const part = entries.slice(at, Math.min(known + 1, at + STATES_PER_LINE));
    say(`${String(part[0]?.pgno ?? 0).padStart(10)}: ${part.map((entry) => entry.value).join('')}`);
  }
}
