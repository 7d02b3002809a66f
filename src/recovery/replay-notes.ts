import { LOG_PAGE_FLAG, UNDO_OPERATION } from '../format/log-record-layout.js';
import { logRecordFixedSize } from '../format/log-record-size.js';
import { LRTYP } from '../format/log-record-type.js';
import {
  AT_INSERT_DATA_BYTES,
  AT_INSERT_KEY,
  AT_INSERT_PREFIX_BYTES,
  AT_INSERT_SUFFIX_BYTES,
  AT_PAGE_FLAGS,
  AT_PROCID,
  AT_RCEID,
  AT_REVIVED_DATA_BYTES,
  AT_REVIVED_KEY_BYTES,
  AT_REVIVED_RCEID_REPLACE,
} from './record-offsets.js';
import type { PendingVersions, RedoVersions } from './redo-versions.js';
import {
  ARENA_BYTES,
  NOTE,
  NOTE_KIND,
  NOTE_WORDS,
  NOTES_MAX,
  SESSION,
  SESSION_WORDS,
  VERSION,
  VERSION_BYTES,
  VERSION_STATE,
  VERSIONS_MAX,
  WALK,
} from './replay-layout.js';
import type { ReplayMemory } from './replay-memory.js';

/**
 * What replay notes of changes, so that they can be undone (format specification, chapter 5.1.6). Most transactions end
 * soon after their changes, and then nothing of them is needed: so a note only says where the record lies, and becomes
 * a version when the memory of the records is about to be used again ({@link flush}).
 *
 * The walk of the kernel makes notes as {@link add} does.
 */
export class ReplayNotes {
  readonly #memory: ReplayMemory;
  readonly #versions: RedoVersions;
  /** Index of the words of the walk. */
  readonly #walk: number;

  constructor(memory: ReplayMemory, versions: RedoVersions) {
    this.#memory = memory;
    this.#versions = versions;
    this.#walk = memory.layout.walk >>> 2;
  }

  /** Versions given out since {@link reset}. */
  get versionCount(): number {
    return this.#memory.words[this.#walk + WALK.versions] ?? 0;
  }

  get isEmpty(): boolean {
    return this.versionCount === 0 && this.#memory.words[this.#walk + WALK.noted] === 0;
  }

  /** Makes room for the notes of one record, and whether there is: an old state has at most the bytes of a page. */
  makeRoom(): boolean {
    if ((this.#memory.words[this.#walk + WALK.noted] ?? 0) + 2 > NOTES_MAX) this.flush();
    const count = this.versionCount + 1;
    return count <= VERSIONS_MAX && count * this.#memory.pageSize <= ARENA_BYTES;
  }

  /** Notes how to undo the change of the record at `at`; returns the address of the version that its item gives, or 0. */
  add(at: number): number {
    const { view } = this.#memory;
    if ((view.getUint8(at + AT_PAGE_FLAGS) & LOG_PAGE_FLAG.versioned) === 0) return 0;
    switch (view.getUint8(at)) {
      case LRTYP.Insert:
      case LRTYP.FlagInsert:
        this.#note(NOTE_KIND.insert, at, 0);
        return 0;
      case LRTYP.FlagInsertAndReplaceData:
        this.#note(NOTE_KIND.insert, at, 0);
        return view.getUint32(at + AT_REVIVED_RCEID_REPLACE, true) === 0 ? 0 : this.#notePending(at);
      case LRTYP.Replace:
      case LRTYP.ReplaceD:
        return view.getUint32(at + AT_RCEID, true) === 0 ? 0 : this.#notePending(at);
      case LRTYP.FlagDelete:
        return this.#notePending(at);
      default:
        return 0;
    }
  }

  #notePending(at: number): number {
    const { words, layout } = this.#memory;
    const address = layout.versions + this.versionCount * VERSION_BYTES;
    words[this.#walk + WALK.versions] = this.versionCount + 1;
    words[(address >>> 2) + VERSION.state] = VERSION_STATE.pending;
    this.#note(NOTE_KIND.pending, at, address);
    return address;
  }

  #note(kind: number, address: number, version: number): void {
    const { words, view, layout } = this.#memory;
    const noted = words[this.#walk + WALK.noted] ?? 0;
    const word = (layout.notes >>> 2) + noted * NOTE_WORDS;
    words[word + NOTE.kind] = kind;
    words[word + NOTE.procid] = view.getUint16(address + AT_PROCID, true);
    words[word + NOTE.address] = address;
    words[word + NOTE.version] = version;
    words[this.#walk + WALK.noted] = noted + 1;
  }

  /** Makes versions of the notes, without those whose transaction has ended since. */
  flush(): void {
    const { words, layout } = this.#memory;
    const noted = words[this.#walk + WALK.noted] ?? 0;
    if (noted === 0) return;
    const before = words[this.#walk + WALK.notedBefore] ?? 0;
    const sessions = layout.sessions >>> 2;
    let word = layout.notes >>> 2;
    for (let i = 0; i < noted; i++, word += NOTE_WORDS) {
      const procid = words[word + NOTE.procid] ?? 0;
      const finished = words[sessions + procid * SESSION_WORDS + SESSION.finished] ?? 0;
      if (((before + i - finished) | 0) < 0) continue;
      this.#carryOut(word, procid);
    }
    words[this.#walk + WALK.notedBefore] = before + noted;
    words[this.#walk + WALK.noted] = 0;
  }

  #carryOut(word: number, procid: number): void {
    const { words } = this.#memory;
    const address = (words[word + NOTE.address] ?? 0) >>> 0;
    switch (words[word + NOTE.kind]) {
      case NOTE_KIND.insert:
        this.#addInsert(procid, address);
        return;
      case NOTE_KIND.pending:
        this.#addPending(procid, address, (words[word + NOTE.version] ?? 0) >>> 0);
        return;
      case NOTE_KIND.lower:
        this.#versions.lowerLevel(procid, address);
        return;
      default:
        this.#versions.finish(procid);
    }
  }

  #addInsert(procid: number, at: number): void {
    const { bytes, view } = this.#memory;
    const rceid = view.getUint32(at + AT_RCEID, true);
    const isUnique = (view.getUint8(at + AT_PAGE_FLAGS) & LOG_PAGE_FLAG.unique) !== 0;
    const lrtyp = view.getUint8(at);
    if (lrtyp === LRTYP.Insert) {
      const keyBytes =
        view.getUint16(at + AT_INSERT_SUFFIX_BYTES, true) + view.getUint16(at + AT_INSERT_PREFIX_BYTES, true);
      const dataBytes = isUnique ? 0 : view.getUint16(at + AT_INSERT_DATA_BYTES, true);
      this.#versions.addLoggedInsert(procid, rceid, bytes, view, at, at + AT_INSERT_KEY, keyBytes, dataBytes);
    } else {
      const keyAt = at + logRecordFixedSize(lrtyp);
      const keyBytes = view.getUint16(at + AT_REVIVED_KEY_BYTES, true);
      const dataBytes = isUnique ? 0 : view.getUint16(at + AT_REVIVED_DATA_BYTES, true);
      this.#versions.addLoggedInsert(procid, rceid, bytes, view, at, keyAt, keyBytes, dataBytes);
    }
  }

  #addPending(procid: number, at: number, version: number): void {
    const { view } = this.#memory;
    const lrtyp = view.getUint8(at);
    const isRevival = lrtyp === LRTYP.FlagInsertAndReplaceData;
    const rceid = view.getUint32(at + (isRevival ? AT_REVIVED_RCEID_REPLACE : AT_RCEID), true);
    const operation = lrtyp === LRTYP.FlagDelete ? UNDO_OPERATION.flagDelete : UNDO_OPERATION.replace;
    this.#versions.addPending(procid, rceid, operation, view, at, version);
  }

  /** Takes over what the items, all of which are done, have put into the memory of versions, and starts over. */
  settle(): void {
    this.flush();
    this.#versions.settle(this.#pending);
    this.#memory.words[this.#walk + WALK.versions] = 0;
  }

  readonly #pending: PendingVersions = {
    isKnown: (slot) => this.#memory.words[(slot >>> 2) + VERSION.state] === VERSION_STATE.known,
    read: (slot) => {
      const { words, bytes } = this.#memory;
      const word = slot >>> 2;
      const at = words[word + VERSION.address] ?? 0;
      const keyEnd = at + (words[word + VERSION.keyBytes] ?? 0);
      const dataEnd = keyEnd + (words[word + VERSION.dataBytes] ?? 0);
      return {
        key: bytes.subarray(at, keyEnd),
        bookmarkData: bytes.subarray(keyEnd, dataEnd),
        before: bytes.subarray(dataEnd, dataEnd + (words[word + VERSION.beforeBytes] ?? 0)),
      };
    },
  };
}
