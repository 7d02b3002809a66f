/** `esekit create FILE`: a new database, and its log stream. */

import { dirname } from 'node:path';
import { createDatabaseFile } from '../../drill/load.js';
import { sourceFile } from '../typed-path.js';
import type { Verb } from '../verb.js';
import { databasePlace } from './place.js';

export const createVerb: Verb = {
  writes: () => true,
  run: async (context) => {
    sourceFile(context.host, String(context.options.file ?? ''), 'database');
    const place = databasePlace(context);
    const { file, baseName = 'E00', logDirectory = dirname(file), systemDirectory = dirname(file) } = place;
    const { fs } = context.host;
    for (const folder of [dirname(file), logDirectory, systemDirectory]) fs.mkdir(folder);
    const created = await createDatabaseFile(context.host.environment, place);
    context.say(`Created ${file}: ${created.pages} pages of ${created.pageSize} bytes.`);
    context.say(`Log stream ${baseName} in ${logDirectory}, checkpoint in ${systemDirectory}.`);
    return { result: { file, ...created, baseName, logDirectory, systemDirectory } };
  },
};
