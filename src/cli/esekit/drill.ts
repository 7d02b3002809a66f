/** `esekit drill run`: a crash, and what brings the database back, from the first command to the last. */

import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runFirstDrill } from '../../drill/first-drill.js';
import { programsIn } from '../../drill/programs.js';
import { EseError } from '../../format/ese-error.js';
import { PROGRAM_FOLDER } from '../program-folder.js';
import type { Verb, VerbContext } from '../verb.js';
import { wholeNumber } from './place.js';

export const drillVerb: Verb = {
  writes: () => true,
  run: async (context) => {
    const { host, options, say, signal } = context;
    const { default: files } = await import('fs-extra');
    const seed = wholeNumber(context, 'seed') ?? host.environment.random.uint32();
    const folder =
      options.dir === undefined ? await files.mkdtemp(join(tmpdir(), 'esekit-drill-')) : newFolder(context);
    let keeps = options.keep === true || options.dir !== undefined;
    say(`esekit drill run --seed ${seed}`);
    try {
      const report = await runFirstDrill({
        fs: host.fs,
        programs: programsIn(fileURLToPath(PROGRAM_FOLDER), folder),
        folder,
        seed,
        say,
        now: host.now,
        signal,
      });
      const hasFailed = report.verdict === 'fail';
      keeps ||= hasFailed;
      if (keeps) say(`The files are in ${folder}.`);
      return { result: report, findingsRemain: hasFailed };
    } finally {
      if (!keeps) await files.remove(folder);
    }
  },
};

/** The folder that `--dir` names: it must be empty, or not be there. */
function newFolder({ host, options }: VerbContext): string {
  const folder = resolve(String(options.dir));
  if (
    host.probe(folder) === 'file' ||
    (host.probe(folder) === 'directory' && host.fs.readdir(folder).length > 0)
  ) {
    throw new EseError('JET_errFileAlreadyExists', 'the folder of the drill is not empty', { file: folder });
  }
  host.fs.mkdir(folder);
  return folder;
}
