/** The grammar of the subcommands that create, fill and look into databases. */

import type { Argv } from 'yargs';

const SHARED = { type: 'boolean', describe: 'read a database that is in use' } as const;

/** Options of everything that opens a database together with its log stream. */
function placeOptions<T>(command: Argv<T>) {
  return command
    .option('base', {
      type: 'string',
      describe: 'base name of the log stream (default: E00)',
      requiresArg: true,
    })
    .option('log-dir', {
      type: 'string',
      describe: "folder of the logs (default: the database's)",
      requiresArg: true,
    })
    .option('system-dir', {
      type: 'string',
      describe: "folder of the checkpoint (default: the database's)",
      requiresArg: true,
    })
    .option('log-size', { type: 'number', describe: 'KiB of a log file of a new stream', requiresArg: true })
    .option('circular', { type: 'boolean', describe: 'use logs again that are not required any more' })
    .option('checkpoint-depth', {
      type: 'number',
      describe: 'KiB of log after which changed pages are written',
      requiresArg: true,
    })
    .option('cache', { type: 'number', describe: 'KiB of memory for pages', requiresArg: true });
}

/** Adds the subcommands to the grammar. */
export function databaseCommands<T>(parser: Argv<T>) {
  return parser
    .command('create <file>', 'create a database, and its log stream', (command) =>
      placeOptions(command.positional('file', { type: 'string', describe: 'new database' })).option(
        'page-size',
        {
          type: 'number',
          describe: 'bytes of a page: 4096, 8192, 16384 or 32768',
          requiresArg: true,
        },
      ),
    )
    .command('load <file>', 'put a workload into a database: the same rows for the same seed', (command) =>
      placeOptions(command.positional('file', { type: 'string', describe: 'database' }))
        .option('rows', { type: 'number', describe: 'rows to insert', demandOption: true, requiresArg: true })
        .option('seed', { type: 'number', describe: 'chooses the rows (default: 1)', requiresArg: true })
        .option('tables', { type: 'string', describe: 'some of its tables, as A,B', requiresArg: true })
        .option('batch', { type: 'number', describe: 'most changes in a transaction', requiresArg: true })
        .option('lazy', { type: 'boolean', describe: 'commits do not wait for the disk' })
        .option('journal', {
          type: 'string',
          describe: 'file that gets a line for each durable transaction',
          requiresArg: true,
        }),
    )
    .command('get <file> <table> <key..>', 'one row by its primary key', (command) =>
      command
        .positional('file', { type: 'string', describe: 'database' })
        .positional('table', { type: 'string', describe: 'its table' })
        .positional('key', { type: 'string', describe: 'values of the primary key; NULL = none' })
        .option('shared', SHARED),
    )
    .command('scan <file> <table>', 'rows in the order of an index, or a range of them', (command) =>
      command
        .positional('file', { type: 'string', describe: 'database' })
        .positional('table', { type: 'string', describe: 'its table' })
        .option('index', {
          type: 'string',
          describe: 'an index other than the primary one',
          requiresArg: true,
        })
        .option('from', {
          type: 'string',
          describe: 'first value of the index; again for its further segments',
          requiresArg: true,
        })
        .option('to', {
          type: 'string',
          describe: 'last value, which belongs to the range',
          requiresArg: true,
        })
        .option('reverse', { type: 'boolean', describe: 'from the end to the begin' })
        .option('limit', { type: 'number', describe: 'most rows', requiresArg: true })
        .option('format', {
          choices: ['csv', 'jsonl', 'canonical'] as const,
          default: 'jsonl',
          describe: 'form of the rows, as of export',
          requiresArg: true,
        })
        .option('shared', SHARED),
    )
    .command('stat <file>', 'rows, trees, pages and space', (command) =>
      command.positional('file', { type: 'string', describe: 'database' }).option('shared', SHARED),
    )
    .command('verify <file>', 'hold a database against the journal of its load', (command) =>
      command
        .positional('file', { type: 'string', describe: 'database' })
        .option('journal', { type: 'string', describe: 'its journal', demandOption: true, requiresArg: true })
        .option('shared', SHARED),
    )
    .command('inject [file]', 'damage a file on purpose, the same for the same seed', (command) =>
      command
        .positional('file', { type: 'string', describe: 'database, log, checkpoint or flush map' })
        .option('fault', {
          type: 'string',
          describe: 'what to do to it; list = say what there is',
          requiresArg: true,
        })
        .option('seed', { type: 'number', describe: 'chooses the victims (default: 1)', requiresArg: true })
        .option('at', { type: 'string', describe: 'where faults of bytes go', requiresArg: true })
        .option('table', { type: 'string', describe: 'table that is hit', requiresArg: true })
        .option('index', { type: 'string', describe: 'secondary index that is hit', requiresArg: true })
        .option('page', { type: 'number', describe: 'page that is hit', requiresArg: true })
        .option('count', {
          type: 'number',
          describe: 'pages, rows or entries that are hit',
          requiresArg: true,
        })
        .option('from', {
          type: 'string',
          describe: 'older copy of the database, for stale pages',
          requiresArg: true,
        })
        .option('yes', { type: 'boolean', describe: 'really do it' }),
    )
    .command('drill', 'practise a recovery', (command) =>
      command
        .command('run', 'create, load, kill, recover, verify', (run) =>
          run
            .option('seed', { type: 'number', describe: 'repeats a drill', requiresArg: true })
            .option('dir', {
              type: 'string',
              describe: 'a folder for its files, which stay',
              requiresArg: true,
            })
            .option('keep', { type: 'boolean', describe: 'keep the files' }),
        )
        .demandCommand(1, 'Usage Error: No drill command specified.'),
    );
}
