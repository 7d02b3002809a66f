/** `esekit records LOG`: every record of a log file as a line of JSON. */

import { EseError } from '../../format/ese-error.js';
import { logRecordLine } from '../../maintenance/log-record-report.js';
import { openLog } from '../../recovery/log-reader.js';
import { textOutput } from '../output.js';
import { requireKind, sourceFile } from '../typed-path.js';
import type { Verb } from '../verb.js';

const RECORDS_PER_TURN = 4096;

export const recordsVerb: Verb = {
  run: async ({ host, options, signal }) => {
    const file = sourceFile(host, String(options.file ?? ''), 'log file', true);
    requireKind(host, file, 'log');
    const log = openLog(host.fs, file);
    const output = textOutput(host.terminal);
    let count = 0;
    try {
      while (log.next()) {
        const { cursor } = log;
        output.line(logRecordLine(cursor.record(), cursor.lgpos(), cursor.fragments));
        if (++count % RECORDS_PER_TURN !== 0) continue;
        await new Promise((resolve) => setImmediate(resolve));
        signal.throwIfAborted();
      }
      output.flush();
      return { result: null, streamed: true };
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      output.flush();
      return { result: null, streamed: true, error: error.at({ file }) };
    } finally {
      log.close();
    }
  },
};
