/** The parts that the reports of logs and of checkpoints have in common (format specification, chapter 11.4.1). */
import { ATTACH_INFO_FLAG, type AttachInfo } from '../format/attach-info.js';
import { DBMS_PARAM_CIRCULAR_LOGGING, type DbmsParam } from '../format/dbms-param.js';
import {
  dbtimeReport,
  type LgposReport,
  lgposReport,
  type SignatureReport,
  signatureReport,
} from './report-values.js';

/** The parameters of the engine that wrote a log or checkpoint. */
export interface EnvReport {
  readonly circularLogging: boolean;
  readonly sessions: number;
  readonly openTables: number;
  readonly versionPages: number;
  readonly cursors: number;
  readonly logBuffers: number;
  readonly logFileSectors: number;
  readonly buffers: number;
}

export interface AttachmentReport {
  readonly dbid: number;
  readonly path: string;
  readonly sparse: boolean;
  readonly dbtime: string;
  readonly objidLast: number;
  readonly cpgMax: number;
  readonly lgposAttach: LgposReport;
  readonly lgposConsistent: LgposReport;
  readonly signDb: SignatureReport;
}

export function envReport(param: DbmsParam): EnvReport {
  return {
    circularLogging: (param.flags & DBMS_PARAM_CIRCULAR_LOGGING) !== 0,
    sessions: param.sessions,
    openTables: param.openTables,
    versionPages: param.verPages,
    cursors: param.cursors,
    logBuffers: param.logBuffers,
    logFileSectors: param.csecLGFile,
    buffers: param.cacheSizeMax,
  };
}

export function attachmentReport(info: AttachInfo): AttachmentReport {
  return {
    dbid: info.dbid,
    path: info.names[0] ?? '',
    sparse: (info.flags & ATTACH_INFO_FLAG.sparse) !== 0,
    dbtime: dbtimeReport(info.dbtime),
    objidLast: info.objidLast,
    cpgMax: info.cpgMax,
    lgposAttach: lgposReport(info.lgposAttach),
    lgposConsistent: lgposReport(info.lgposConsistent),
    signDb: signatureReport(info.signDb),
  };
}
