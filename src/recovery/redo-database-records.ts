import { EseError, type Lgpos } from '../format/ese-error.js';
import type { LogRecord } from '../format/log-record.js';
import { applyExtend, applyShrink, applyTrim } from '../operations/file-size.js';
import type { AttachedDatabase } from './redo-database.js';
import type { RedoDatabases } from './redo-databases.js';

/**
 * Carries out a record that concerns a database as a whole: it begins or ends, or its file grows or shrinks (format
 * specification, chapter 5.3.5). All changes of pages in front of it must be carried out.
 */
export function redoDatabaseRecord(
  record: LogRecord,
  databases: RedoDatabases,
  lgpos: Lgpos,
  isBehindAttach: (database: AttachedDatabase) => boolean,
): void {
  switch (record.name) {
    case 'CreateDB':
      databases.attach(
        record.dbid,
        record.path,
        {
          kind: 'create',
          signDb: record.signDb,
          signLogBefore: undefined,
          lgposConsistent: { generation: 0, isec: 0, ib: 0 },
          lgposAttach: { ...lgpos },
        },
        record,
      );
      return;
    case 'AttachDB':
      databases.attach(record.dbid, record.path, {
        kind: 'attach',
        signDb: record.signDb,
        signLogBefore: record.signLog,
        lgposConsistent: record.lgposConsistent,
        lgposAttach: { ...lgpos },
      });
      return;
    case 'DetachDB':
      databases.detach(record.dbid, { ...lgpos });
      return;
    default:
      break;
  }
  if (!('dbid' in record)) return;
  const database = databases.at(record.dbid);
  if (database?.kind !== 'attached' || !isBehindAttach(database)) return;
  try {
    redoAttachedRecord(record, database, lgpos);
  } catch (error) {
    throw error instanceof EseError ? error.at({ file: database.path }) : error;
  }
}

function redoAttachedRecord(record: LogRecord, database: AttachedDatabase, lgpos: Lgpos): void {
  const { context, headerFile, header } = database;
  switch (record.name) {
    case 'CreateDBFinish':
      if (database.isUnfinished) database.finishCreation();
      return;
    case 'SetDbVersion':
      if (record.versionMajor !== header.version) {
        throw new EseError(
          'JET_errInvalidDatabaseVersion',
          `the log raises the format to ${record.versionMajor}`,
        );
      }
      if (record.updateMajor > header.updateMajor || record.updateMinor > header.updateMinor) {
        headerFile.change({ updateMajor: record.updateMajor, updateMinor: record.updateMinor });
      }
      return;
    case 'ReAttach':
      headerFile.change({ lgposLastReAttach: { ...lgpos } });
      return;
    case 'ExtendDB':
      if (context === undefined) return;
      if (record.pgnoLast <= context.pages.lastPgno) return;
      applyExtend(record.pgnoLast, context);
      database.noteResize(lgpos);
      return;
    case 'ShrinkDB':
    case 'ShrinkDB2':
    case 'ShrinkDB3': {
      if (context === undefined) return;
      const dbtime = record.name === 'ShrinkDB3' ? record.dbtime : undefined;
      if (applyShrink(record.pgnoLast, record.cpgShrunk, dbtime, header.lgposLastResize, context)) {
        database.noteResize(lgpos);
      }
      return;
    }
    case 'TrimDB':
      if (context !== undefined) applyTrim(record.pgnoFirst, record.cpgTrimmed, context);
      return;
    default:
      return;
  }
}
