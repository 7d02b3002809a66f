import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { planSplit } from '../../src/engine/split-plan.js';
import type { LogRecord, LogRecordOf } from '../../src/format/log-record.js';
import { LOG_PAGE_FLAG, SPLIT_OPERATION, SPLIT_TYPE } from '../../src/format/log-record-layout.js';
import { createNodeView } from '../../src/format/page.js';
import type * as apply from '../../src/operations/apply.js';
import type { RedoContext } from '../../src/operations/redo-context.js';
import { recover } from '../../src/recovery/recover.js';
import { describeWithCorpus } from '../corpus.js';
import { diskOfCorpus, environmentOf, LOGS, OUT } from '../support/recovery-disk.js';

/**
 * Windows has split pages in the real logs. Just before each of these splits is replayed, the engine is asked how it
 * would split the same page for the same operation.
 */
type Split = LogRecordOf<'Split2'>;

interface Decision {
  readonly type: number;
  /** What Windows did, and what the engine would do: one line a level. */
  readonly theirs: string;
  readonly ours: string;
}

const { decisions } = vi.hoisted(() => ({ decisions: [] as Decision[] }));

vi.mock('../../src/operations/apply.js', async (importOriginal) => {
  const original = await importOriginal<typeof apply>();
  return {
    ...original,
    applyMacro(records: readonly LogRecord[], context: RedoContext) {
      const decision = decide(records, context);
      if (decision !== undefined) decisions.push(decision);
      original.applyMacro(records, context);
    },
  };
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function decide(records: readonly LogRecord[], context: RedoContext): Decision | undefined {
  const splits = records.filter((record): record is Split => record.name === 'Split2');
  const lowest = splits.at(-1);
  const last = records.at(-1);
  // What was to be done where it is not part of the split is not in the log.
  if (lowest === undefined || last === undefined || last.name === 'Split2') return undefined;
  const { pages } = context;
  const leaf = pages.readPage(lowest.pgno);
  if (leaf.dbtime >= lowest.dbtime) return undefined;
  const operation = leafOperation(last, leaf);
  const tree = {
    pgnoFdp: lowest.pgnoFDP,
    objid: lowest.objidFDP,
    isUnique: (lowest.pageFlags & LOG_PAGE_FLAG.unique) !== 0,
    isSpace: (lowest.pageFlags & LOG_PAGE_FLAG.space) !== 0,
    appendFree: 0,
  };
  const path = splits
    .slice(0, -1)
    .map(({ pgno, ilineOper }) => ({ page: pages.readPage(pgno), line: ilineOper }));
  const levels = planSplit(tree, leaf, path, operation, () => 0);
  const theirs = splits.map((split) =>
    split.pgnoNew === 0
      ? [split.pgno, split.ilineOper]
      : [
          split.pgno,
          split.splittype,
          split.splitoper,
          split.ilineOper,
          split.ilineSplit,
          split.clines,
          split.ilinePrefixSplit,
          split.ilinePrefixNew,
          hex(split.keyParent),
          hex(split.prefixSplitNew),
        ],
  );
  const ours = levels.map(({ page, choice, line, separator }) =>
    choice === undefined
      ? [page.pgno, line]
      : [
          page.pgno,
          choice.type,
          choice.operation,
          choice.ilineOper,
          choice.ilineSplit,
          choice.clines,
          choice.ilinePrefixSplit,
          choice.ilinePrefixNew,
          hex(separator),
          hex(choice.prefixSplit),
        ],
  );
  return { type: lowest.splittype, theirs: theirs.join('\n'), ours: ours.join('\n') };
}

function leafOperation(record: LogRecord, leaf: ReturnType<RedoContext['pages']['readPage']>) {
  switch (record.name) {
    case 'Insert':
      return {
        kind: SPLIT_OPERATION.insert,
        line: record.iline,
        key: record.key.slice(),
        data: record.data.slice(),
      };
    case 'FlagInsertAndReplaceData':
      return {
        kind: SPLIT_OPERATION.flagInsertAndReplaceData,
        line: record.iline,
        key: record.key.slice(),
        data: record.data.slice(),
      };
    case 'Replace':
    case 'ReplaceD': {
      const node = createNodeView();
      leaf.readNode(record.iline, node);
      return {
        kind: SPLIT_OPERATION.replace,
        line: record.iline,
        key: leaf.key(node),
        data: new Uint8Array(record.cbNewData),
      };
    }
    default:
      throw new Error(`a ${record.name} record in a split`);
  }
}

describeWithCorpus('the splits in the logs of Windows', () => {
  afterAll(() => {
    vi.unstubAllEnvs();
  });

  beforeAll(async () => {
    // The kernel of replay carries out the usual splits by itself; here every one has to come by.
    vi.stubEnv('ESEKIT_KERNEL', 'js');
    const secedit = diskOfCorpus('logs', 'secedit');
    secedit.unlink(`${LOGS}/edb.chk`);
    await recover(environmentOf(secedit), {
      baseName: 'edb',
      logPath: LOGS,
      systemPath: LOGS,
      databasePath: OUT,
    });
    for (const set of ['srum-dirty', 'srum-crash-redo', 'srum-crash-undo']) {
      await recover(environmentOf(diskOfCorpus('recovery', set)), {
        baseName: 'SRU',
        logPath: LOGS,
        systemPath: LOGS,
        databasePath: LOGS,
      });
    }
  }, 60_000);

  it('are of all kinds', () => {
    const count = (type: number): number => decisions.filter((decision) => decision.type === type).length;
    expect([SPLIT_TYPE.append, SPLIT_TYPE.right, SPLIT_TYPE.vertical].map(count)).toEqual([57, 16, 14]);
  });

  it('are those that the engine chooses', () => {
    expect(decisions.map(({ ours }) => ours)).toEqual(decisions.map(({ theirs }) => theirs));
  });
});
