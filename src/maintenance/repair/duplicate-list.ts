import type { DuplicateRecord } from './repair-report.js';

/** The records of all tables that share keys of unique indexes; see {@link DuplicateRecord}. */
export class DuplicateList {
  readonly #records = new Map<string, DuplicateRecord>();

  /** Adds a record, or replaces what an earlier attempt has said of it. */
  add(record: DuplicateRecord): void {
    this.#records.set(`${record.objid}/${record.index}/${record.primaryKey}`, record);
  }

  /** Records of a table are left out, by their primary keys in hexadecimal. */
  leaveOut(objid: number, primaryKeys: ReadonlySet<string>): void {
    for (const [name, record] of this.#records) {
      if (record.objid === objid && primaryKeys.has(record.primaryKey)) {
        this.#records.set(name, { ...record, action: 'left out' });
      }
    }
  }

  /** All of them, those of one key one after the other. */
  list(): DuplicateRecord[] {
    const order = ({ objid, index, key, primaryKey }: DuplicateRecord): string =>
      `${String(objid).padStart(10)}/${index}/${key}/${primaryKey}`;
    return [...this.#records.values()].sort((a, b) => (order(a) < order(b) ? -1 : 1));
  }
}
