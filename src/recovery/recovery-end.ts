import { createCheckpointWriter, lowestLgpos } from '../engine/checkpoint-writer.js';
import { continueLogStream, type LogTail, type LogWriter } from '../engine/log-writer.js';
import { ATTACH_INFO_FLAG, type NewAttachInfo } from '../format/attach-info.js';
import { compareLgpos, type Lgpos } from '../format/ese-error.js';
import { LGPOS_NONE } from '../format/lgpos.js';
import { type LogHeader, logFileBytes, logPageSize } from '../format/log-header.js';
import { LRTYP } from '../format/log-record-type.js';
import { logtimeOf } from '../format/logtime.js';
import { branchStream } from './branch-stream.js';
import { type LogScan, openLog } from './log-reader.js';
import { findLogStream, type LogFileEntry } from './log-stream.js';
import type { Recovery } from './recovery-state.js';
import type { Redo } from './redo.js';
import { restoreTornSegments } from './torn-log.js';
import { createRecoveryLog, undoTransactions } from './undo.js';

/** New logs have a multiple of this size (chapter 4.1.2). */
const LOG_STEP_BYTES = 64 * 1024;

/** Leaves the databases as far as redo went: dirty, and with correct headers (chapter 5.3.7, step 2). */
export function stopBeforeUndo(recovery: Recovery): void {
  const { redo } = recovery;
  if (redo === undefined) return;
  const isClean =
    redo.databases.attached().length === 0 && redo.lgposQuit !== undefined && isLast(redo, redo.lgposQuit);
  recovery.stopError = isClean
    ? 'JET_errRecoveredWithoutUndoDatabasesConsistent'
    : 'JET_errRecoveredWithoutUndo';
  const open = [...redo.sessions.values()]
    .filter(({ level }) => level > 0)
    .map(({ lgposStart }) => lgposStart);
  const end = recovery.ended ?? LGPOS_NONE;
  const attached = redo.databases.attached();
  for (const database of attached) database.flush();
  // What could not be written yet belongs to open transactions; redo still has to come back to it.
  const isAllWritten = open.length > 0 || attached.every(({ pool }) => pool?.dirtyPages === 0);
  const isAllKnown =
    redo.databases.deferred().length === 0 && attached.every(({ redoMap }) => redoMap.size === 0);
  const lgpos = lowestLgpos(end, open);
  const mayAdvance = isAllWritten && isAllKnown;
  for (const database of attached) {
    database.requireGeneration(end.generation);
    if (mayAdvance) database.advanceTo(lgpos.generation);
    database.headerFile.write();
  }
  if (mayAdvance) {
    checkpointWriter(recovery).update({
      lgposCheckpoint: lgpos,
      attachments: attachInfos(redo).filter(({ lgposAttach }) => compareLgpos(lgposAttach, lgpos) < 0),
    });
  }
  redo.databases.closeAll();
}

function isLast(redo: Redo, lgpos: Lgpos): boolean {
  return redo.lastRecord !== undefined && compareLgpos(redo.lastRecord.lgpos, lgpos) === 0;
}

/** Undo, clean headers, and the records that end a recovery (chapter 5.3.7, steps 3 to 12). */
export function finish(recovery: Recovery): void {
  const { redo, options, environment, start } = recovery;
  if (redo === undefined || start === undefined) return;
  redo.databases.removeUnfinished();
  redo.databases.mendLeftAside();
  removeCutLogs(recovery);
  const branch = redo.stoppedAt === undefined ? undefined : branchOff(recovery, redo.stoppedAt);
  const checkpoint = checkpointWriter(recovery);
  if (recovery.cut === undefined && redo.lgposQuit !== undefined && isLast(redo, redo.lgposQuit)) {
    // The stream ended cleanly, only the checkpoint did not say so.
    checkpoint.end(redo.lgposQuit);
    deleteArchived(recovery);
    return;
  }
  const writer = openWriter(recovery, redo, branch);
  try {
    const log = createRecoveryLog(writer);
    const now = () => logtimeOf(environment.clock.now());
    redo.databases.makeLogDurable = (lgpos) => writer.makeDurable(lgpos, { fill: false });
    options.onEvent?.({ kind: 'beginUndo' });
    let lgposRecoveryUndo: Lgpos | undefined;
    if (redo.lastRecord?.lrtyp !== LRTYP.ShutDownMark) {
      lgposRecoveryUndo = log.append('RecoveryUndo2', { logtime: now() });
    }
    const undo = undoTransactions(redo, log);
    recovery.undone = undo.transactions;
    recovery.operationsUndone = undo.operations;
    for (const database of redo.databases.attached()) {
      database.checkSize();
      database.flush();
    }
    const lgposMark = log.append('ShutDownMark', {});
    writer.makeDurable();
    for (const database of redo.databases.attached()) redo.databases.release(database, lgposMark);
    const lgposQuit = log.append('RecoveryQuit2', {
      lgposRecoveryUndo: lgposRecoveryUndo ?? lgposMark,
      lgposRedoFrom: start.lgpos,
      fHard: 0,
      logtime: now(),
    });
    writer.makeDurable();
    checkpoint.end(lgposQuit);
    deleteArchived(recovery);
    // An engine starts and ends behind it, so that the stream looks as after a normal shutdown.
    const lgposInit = log.append('Init2', { dbmsParam: writer.dbmsParam, logtime: now() });
    log.append('ShutDownMark', {});
    writer.makeDurable();
    const lgposTerm = log.append('Term2', {
      lgposStart: { generation: lgposInit.generation, isec: lgposInit.isec, ib: 0 },
      lgposRedoFrom: LGPOS_NONE,
      fHard: 0,
      logtime: now(),
    });
    writer.makeDurable(undefined, { fill: false });
    checkpoint.end(lgposTerm);
  } finally {
    writer.close();
  }
}

/**
 * Takes the checkpoint back to where redo starts, if that is in front of its generation: a recovery that is killed on
 * its way has to begin there again.
 */
export function rewindCheckpoint(recovery: Recovery): void {
  const { start, stream } = recovery;
  const at = stream.checkpoint.checkpoint?.lgposCheckpoint;
  if (start === undefined || at === undefined || start.lgpos.generation >= at.generation) return;
  checkpointWriter(recovery).update({ lgposCheckpoint: start.lgpos, attachments: start.attachments });
}

function checkpointWriter({ environment, stream, start }: Recovery) {
  const { checkpoint, header } = stream;
  const previous = checkpoint.checkpoint;
  return createCheckpointWriter({
    fs: environment.fs,
    path: checkpoint.path,
    signLog: header.signLog,
    dbmsParam: header.dbmsParam,
    previous:
      previous === undefined || start === undefined
        ? previous
        : { ...previous, lgposCheckpoint: lowestLgpos(previous.lgposCheckpoint, [start.lgpos]) },
  });
}

/** Ends the stream where redo stopped; returns its last log. */
function branchOff(recovery: Recovery, at: Lgpos): StreamEnd {
  const { environment, stream } = recovery;
  const { files, checkpoint } = stream;
  const later = [...files.archived.filter(({ generation }) => generation >= at.generation)];
  if (files.current !== undefined) later.push(files.current);
  recovery.logsSaved = branchStream(environment, files, later, at, checkpoint.path);
  const current = findLogStream(environment.fs, files.directory, files.baseName).current;
  if (current === undefined) throw new Error('the stream has no current log');
  const log = openLog(environment.fs, current.path);
  try {
    return { header: log.header, scan: log.verify(), entry: current };
  } finally {
    log.close();
  }
}

/** The last log of a stream, and what it holds. */
interface StreamEnd {
  readonly header: LogHeader;
  readonly scan: LogScan;
  readonly entry: LogFileEntry;
}

function endOf(recovery: Recovery, redo: Redo): StreamEnd {
  const { lastHeader: header, lastScan: scan } = redo;
  const lastStep = recovery.steps.at(-1);
  if (header === undefined || scan === undefined || lastStep?.kind !== 'log') {
    throw new Error('there is no log to go on with');
  }
  return { header, scan, entry: lastStep.entry };
}

/** Opens the log that redo ended with for writing, or begins the next generation. */
function openWriter(recovery: Recovery, redo: Redo, branch: StreamEnd | undefined): LogWriter {
  const { environment, stream } = recovery;
  const { header: lastHeader, scan, entry } = branch ?? endOf(recovery, redo);
  const { files } = stream;
  const isCurrent = entry.role === 'current';
  if (isCurrent) restoreTornSegments(environment.fs, entry.path, scan.tornSegments);
  const tail: LogTail = {
    header: lastHeader,
    isCurrent,
    lastValidSegment: scan.lastValidSegment,
    segmentsChecksum: scan.segmentsChecksum,
  };
  let writer: LogWriter | undefined;
  const noteHeader = (): void => {
    if (writer !== undefined) redo.headers.set(writer.generation, writer.header as LogHeader);
  };
  const opened = continueLogStream(
    {
      environment,
      directory: files.directory,
      baseName: files.baseName,
      extension: files.extension,
      digits: recovery.options.logDigits ?? files.digits.at(-1) ?? 5,
      pageSize: logPageSize(lastHeader),
      logFileKiB: Math.ceil(logFileBytes(lastHeader) / LOG_STEP_BYTES) * (LOG_STEP_BYTES / 1024),
      version: lastHeader,
      reserves: false,
      parameters: lastHeader.dbmsParam,
      attachments: () => attachInfos(redo),
      checkpoint: () => stream.checkpoint.checkpoint?.lgposCheckpoint ?? recovery.start?.lgpos ?? LGPOS_NONE,
      onGeneration: noteHeader,
    },
    tail,
  );
  writer = opened;
  noteHeader();
  return opened;
}

/** The databases that are attached, as log headers and the checkpoint list them. */
function attachInfos(redo: Redo): NewAttachInfo[] {
  return redo.databases.attached().map((database) => {
    const { header } = database;
    return {
      dbid: database.dbid,
      flags: ATTACH_INFO_FLAG.utf16,
      dbtime: database.dbtimeCurrent,
      objidLast: Math.max(database.objidLast, header.objidLast),
      cpgMax: 0,
      lgposAttach: header.lgposAttach,
      lgposConsistent: header.lgposConsistent,
      signDb: header.signDb,
      names: [database.loggedPath],
    };
  });
}

/** Deletes the logs whose loss was accepted: they are in the way of what is logged from here on. */
function removeCutLogs({ environment, stream, cut }: Recovery): void {
  if (cut === undefined) return;
  const { fs } = environment;
  const { archived, current, directory } = stream.files;
  for (const entry of archived) {
    if (entry.generation >= cut.generation) fs.unlink(entry.path);
  }
  if (current !== undefined && (stream.currentGeneration ?? 0) >= cut.generation) fs.unlink(current.path);
  fs.syncDirectory(directory);
}

/** `/t`: deletes the archived logs. */
function deleteArchived(recovery: Recovery): void {
  const { environment, options, stream } = recovery;
  if (options.deleteLogs !== true) return;
  const { fs } = environment;
  const { files } = stream;
  const fresh = findLogStream(fs, files.directory, files.baseName);
  const { archived } = fresh;
  for (const { path } of archived) fs.unlink(path);
  if (archived.length === 0) return;
  fs.syncDirectory(files.directory);
  recovery.logsDeleted = {
    low: archived[0]?.generation ?? 0,
    high: archived.at(-1)?.generation ?? 0,
  };
}
