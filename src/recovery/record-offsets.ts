import { fieldOffset } from '../format/log-record-field.js';
import { LOG_RECORD_LAYOUTS } from '../format/log-record-layout.js';
import { logRecordFixedSize } from '../format/log-record-size.js';
import { LRTYP } from '../format/log-record-type.js';

/**
 * Offsets of the fields that redo reads without decoding a record, taken from the layouts (format specification,
 * chapters 4.5.2 and 4.6).
 */
const { Begin, CreateSingleExtentFDP, FlagInsertAndReplaceData, Insert, NewPage } = LOG_RECORD_LAYOUTS;

/** Of every record of a session. */
export const AT_PROCID = fieldOffset(Insert.procid);
/** Of Begin: the level to begin from and the number of levels, half a byte each; of Commit: the level. */
export const AT_LEVELS = fieldOffset(Begin.levelBeginFrom);

/** Of records that change pages. */
export const AT_DBID = fieldOffset(Insert.dbid);
export const AT_PGNO = fieldOffset(Insert.pgno);
export const AT_DBTIME = fieldOffset(Insert.dbtime);
export const AT_LEVEL = fieldOffset(Insert.level);
export const AT_PAGE_FLAGS = fieldOffset(Insert.pageFlags);

/** Of records that change nodes. */
export const AT_RCEID = fieldOffset(Insert.rceid);
export const AT_PGNO_FDP = fieldOffset(Insert.pgnoFDP);
export const AT_OBJID = fieldOffset(Insert.objidFDP);

/** Of Insert; the key begins behind the fixed part, as in the two that follow. */
export const AT_INSERT_SUFFIX_BYTES = fieldOffset(Insert.cbSuffix);
export const AT_INSERT_PREFIX_BYTES = fieldOffset(Insert.cbPrefix);
export const AT_INSERT_DATA_BYTES = fieldOffset(Insert.cbData);
export const AT_INSERT_KEY = logRecordFixedSize(LRTYP.Insert);

/** Of FlagInsert and FlagInsertAndReplaceData. */
export const AT_REVIVED_KEY_BYTES = fieldOffset(FlagInsertAndReplaceData.cbKey);
export const AT_REVIVED_DATA_BYTES = fieldOffset(FlagInsertAndReplaceData.cbData);
export const AT_REVIVED_RCEID_REPLACE = fieldOffset(FlagInsertAndReplaceData.rceidReplace);

/** Of records that create trees. */
export const AT_CREATION_OBJID = fieldOffset(CreateSingleExtentFDP.objidFDP);

export const AT_NEW_PAGE_OBJID = fieldOffset(NewPage.objid);
export const AT_NEW_PAGE_DBTIME = fieldOffset(NewPage.dbtimeAfter);
