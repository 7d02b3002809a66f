import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import type { Database } from '../../src/engine/database.js';
import { createTable } from '../../src/engine/schema.js';
import { planSplit } from '../../src/engine/split-plan.js';
import type { Tree } from '../../src/engine/tree-search.js';
import { copyLogRecord, type LogRecord, type LogRecordOf } from '../../src/format/log-record.js';
import { LOG_PAGE_FLAG, SPLIT_OPERATION, SPLIT_TYPE } from '../../src/format/log-record-layout.js';
import { PAGE_FLAG, type Page } from '../../src/format/page.js';
import { openDatabase } from '../../src/index.js';
import { seededEnvironment } from '../../src/io/environment.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { assertSound } from '../../src/maintenance/integrity.js';
import { applyMacro, applyRecord } from '../../src/operations/apply.js';
import { imageOf } from '../../src/operations/page-image-check.js';
import type { RedoContext } from '../../src/operations/redo-context.js';
import { RedoMap } from '../../src/operations/redo-map.js';
import { openLog } from '../../src/recovery/log-reader.js';
import { recover } from '../../src/recovery/recover.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { createEngineLab, LAB, LAB_DATABASE, recordsOf } from '../support/engine-lab.js';
import { clonePage, createLab, type Lab } from '../support/page-lab.js';

/**
 * Windows has split pages in the middle of runs of inserts: their logs hold the page before the first of these splits,
 * and what happened to it since. The engine is asked how it would split each of these pages for the same insert.
 */
type Split = LogRecordOf<'Split2'>;
type Insert = LogRecordOf<'Insert'>;

interface Decision {
  readonly kind: 'new node only' | 'without the node' | 'other';
  readonly theirs: string;
  readonly ours: string;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A page above with room for any pointer. */
function pageAbove(): Page {
  return createLab().put(9, { flags: PAGE_FLAG.root | PAGE_FLAG.parentOfLeaf });
}

/** What Windows did, and what the engine would do with the page for this insert. */
function decide(split: Split, page: Page, { key, data }: Insert, line: number): Decision {
  const tree = {
    pgnoFdp: split.pgnoFDP,
    objid: split.objidFDP,
    isUnique: (split.pageFlags & LOG_PAGE_FLAG.unique) !== 0,
    isSpace: false,
    appendFree: 0,
  };
  const operation = { kind: SPLIT_OPERATION.insert, line, key, data };
  const level = planSplit(tree, page, [{ page: pageAbove(), line: 0 }], operation, () => 0).at(-1);
  const choice = level?.choice;
  const isHot = split.ilineSplit === split.ilineOper && split.ilineOper === split.clines - 1;
  const isWithout = split.splitoper === SPLIT_OPERATION.none;
  return {
    kind: isWithout ? 'without the node' : isHot ? 'new node only' : 'other',
    theirs: [
      split.splittype,
      split.splitoper,
      split.ilineOper,
      split.ilineSplit,
      split.clines,
      split.ilinePrefixSplit,
      split.ilinePrefixNew,
      hex(split.keyParent),
      hex(split.prefixSplitNew),
    ].join(),
    ours: [
      choice?.type,
      choice?.operation,
      choice?.ilineOper,
      choice?.ilineSplit,
      choice?.clines,
      choice?.ilinePrefixSplit,
      choice?.ilinePrefixNew,
      hex(level?.separator ?? new Uint8Array(0)),
      hex(choice?.prefixSplit ?? new Uint8Array(0)),
    ].join(),
  };
}

/** Follows the pages that the logs of one stream bring, and notes each right split of one of them. */
function follow(paths: readonly string[]): Decision[] {
  const decisions: Decision[] = [];
  const lab = createLab({ genMaxRequired: 0x7fffffff, lastPgno: 0x7fffffff });
  const macro: LogRecord[] = [];
  /** A split that made room only: its insert is still to come. */
  let pending: { split: Split; page: Page } | undefined;
  /** Pages that nobody has brought are left alone, each time anew. */
  const context = (): RedoContext => ({ ...lab.context, redoMap: new RedoMap() });
  for (const path of paths) {
    const log = openLog(nodeFileSystem, path);
    /** Stamp of the macro that is open: other sessions go on meanwhile. */
    let stamp = -1;
    for (const { record } of log.records()) {
      switch (record.name) {
        case 'MacroBegin':
          stamp = record.dbtime;
          macro.length = 0;
          break;
        case 'MacroCommit': {
          stamp = -1;
          const leaf = macro.findLast((one): one is Split => one.name === 'Split2');
          const operation = macro.at(-1);
          const page = leaf === undefined ? undefined : pageBefore(lab, leaf);
          if (leaf?.splittype === SPLIT_TYPE.right && page !== undefined) {
            if (operation?.name === 'Insert') decisions.push(decide(leaf, page, operation, leaf.ilineOper));
            if (operation === leaf) pending = { split: leaf, page: clonePage(page) };
          }
          if (macro.length > 0) applyMacro(macro, context());
          break;
        }
        default:
          if ('dbtime' in record && record.dbtime === stamp) {
            macro.push(copyLogRecord(record));
          } else if ('pgno' in record && lab.pages.has(record.pgno)) {
            if (record.name === 'Insert' && pending !== undefined) {
              const { split, page } = pending;
              const line = record.pgno === split.pgno ? record.iline : record.iline + split.ilineSplit;
              decisions.push(decide(split, page, copyLogRecord(record), line));
              pending = undefined;
            }
            applyRecord(record, context());
          }
      }
    }
    log.close();
  }
  return decisions;
}

/** The leaf as it was before its split: known from before, or from the image in the record. */
function pageBefore(lab: Lab, split: Split): Page | undefined {
  const isLeaf = (page: Page): boolean => page.isLeaf && !page.isRoot;
  const known = lab.pages.get(split.pgno);
  if (known !== undefined) return isLeaf(known) ? known : undefined;
  if (split.cbPreimage === 0) return undefined;
  const page = clonePage(imageOf(split, lab.context));
  page.dbtime = split.dbtimeBefore;
  lab.pages.set(split.pgno, page);
  return isLeaf(page) ? page : undefined;
}

describeWithCorpus('the splits of Windows inside of runs of inserts', () => {
  it('are those that the engine chooses', () => {
    const logsOf = (...folder: string[]): string[] =>
      readdirSync(corpusPath(...folder))
        .filter((name) => /^(SRU[0-9A-F]{5}|edb)\.log$/.test(name))
        .sort()
        .map((name) => corpusPath(...folder, name));
    const decisions = [
      logsOf('logs', 'secedit'),
      logsOf('recovery', 'srum-clean'),
      logsOf('recovery', 'srum-dirty'),
    ].flatMap(follow);
    const count = (kind: Decision['kind']): number => decisions.filter((one) => one.kind === kind).length;
    expect(decisions.map(({ ours }) => ours)).toEqual(decisions.map(({ theirs }) => theirs));
    expect([count('without the node'), count('new node only'), count('other')]).toEqual([8, 11, 11]);
  });
});

/** Rows of a group in the middle, and of each of the others. */
const RUN = 800;
const OTHERS = 40;
const GROUPS = 9;
const MIDDLE = 4;

describe('a run of inserts in the middle of a table', () => {
  it('fills its pages, as recovery does', async () => {
    const { disk, instance, database } = createEngineLab();
    const session = instance.createSession();
    const table = createTable(database, session, {
      name: 'Runs',
      columns: [
        { name: 'group', type: 'long' },
        { name: 'n', type: 'long' },
        { name: 'filler', type: 'binary' },
      ],
      indexes: [{ name: 'primary', segments: ['group', 'n'], primary: true }],
    });
    const cursor = new Cursor(session, table);
    const filler = new Uint8Array(80).fill(3);
    const insert = (group: number, n: number) => cursor.insert({ group, n, filler }, { lazy: true });
    for (let group = 0; group < GROUPS; group++) for (let n = 0; n < OTHERS; n++) insert(group, n);
    const pagesBefore = leafCount(database, table.tree);
    for (let n = OTHERS; n < RUN; n++) insert(MIDDLE, n);
    // Some 108 bytes a row: 37 to a page of 4 KiB where pages are full, half of that where they are split in the middle.
    expect(leafCount(database, table.tree) - pagesBefore).toBeLessThan(RUN / 32);

    instance.waitForDurability();
    const splits = recordsOf(disk, `${LAB}/E00.log`).filter(
      ({ lrtyp, objidFDP }) => lrtyp === 'Split2' && objidFDP === table.definition.objid,
    );
    const ofType = splits.filter(({ splittype }) => splittype === SPLIT_TYPE.right);
    expect(ofType.filter(({ splitoper }) => splitoper === SPLIT_OPERATION.none)).toHaveLength(1);
    const newNodeOnly = ofType.filter(
      ({ ilineSplit, ilineOper, clines }) => ilineSplit === ilineOper && ilineOper === Number(clines) - 1,
    );
    expect(newNodeOnly.length).toBeGreaterThan(15);
    expect(newNodeOnly.every(({ cbPreimage }) => cbPreimage === 0)).toBe(true);

    instance.abandon();
    await recover(seededEnvironment({ fs: disk, seed: 2 }), {
      baseName: 'E00',
      logPath: LAB,
      systemPath: LAB,
    });
    assertSound(disk, LAB_DATABASE);
    expect(rowsOfGroup(disk, MIDDLE)).toEqual(Array.from({ length: RUN }, (_, n) => n));
  });
});

function leafCount({ trees, pool }: Database, tree: Tree): number {
  const { search } = trees;
  search.findEnd(tree);
  let leaves = 1;
  for (let page = search.leaf; page.pgnoPrev !== 0; page = pool.readPage(page.pgnoPrev)) leaves++;
  return leaves;
}

function rowsOfGroup(fs: FileSystem, wanted: number): number[] {
  const database = openDatabase(LAB_DATABASE, { fs });
  try {
    return [...database.rows('Runs')].filter(({ group }) => group === wanted).map(({ n }) => Number(n));
  } finally {
    database.close();
  }
}
