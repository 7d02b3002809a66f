import {
  type DatabaseHeader,
  decodeDatabaseHeader,
  electHeader,
  HEADER_ELECTION_BYTES,
  type HeaderChanges,
  writeHeaderFields,
} from '../format/database-header.js';
import { EseError } from '../format/ese-error.js';
import { logtimeOf } from '../format/logtime.js';
import { newSignature, readSignature, SIGNATURE_BYTES } from '../format/signature.js';
import type { Environment } from '../io/environment.js';
import type { FileHandle } from '../io/file-system.js';

/**
 * The header of an open database, with the changes that are still to be written. Both copies are written one
 * after the other, each durable before the next, so that one of them is whole at any time (format
 * specification, chapter 1.2.5).
 */
export class HeaderFile {
  readonly #environment: Environment;
  readonly #file: FileHandle;
  readonly #bytes: Uint8Array;
  #header: DatabaseHeader;
  #isDirty = false;

  /** @param bytes the elected copy, a page long; it becomes the property of this object */
  constructor(environment: Environment, file: FileHandle, bytes: Uint8Array) {
    this.#environment = environment;
    this.#file = file;
    this.#bytes = bytes;
    this.#header = decodeDatabaseHeader(bytes);
  }

  /** The header page with its changes. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  get header(): DatabaseHeader {
    return this.#header;
  }

  /** Changes fields; they reach the file with {@link write}. */
  change(changes: HeaderChanges): void {
    writeHeaderFields(this.#bytes, changes);
    this.#header = decodeDatabaseHeader(this.#bytes);
    this.#isDirty = true;
  }

  /** Writes both copies, if anything changed. */
  write(): void {
    if (!this.#isDirty) return;
    const { clock, random } = this.#environment;
    const signDbHdrFlush = newSignature(random.uint32(), logtimeOf(clock.now()));
    writeHeaderFields(this.#bytes, { signDbHdrFlush });
    this.#file.writeAt(this.#bytes, 0);
    this.#file.sync();
    this.#file.writeAt(this.#bytes, this.#bytes.length);
    this.#file.sync();
    this.#isDirty = false;
  }

  /** Pages change without the flush map: it must not be trusted any more (chapter 1.6). */
  dropFlushMap(): void {
    this.change({ signFlushMapHdrFlush: readSignature(new Uint8Array(SIGNATURE_BYTES), 0) });
  }
}

/** Reads the elected header copy of an open file. Throws `JET_errReadVerifyFailure` when both are damaged. */
export function openHeader(environment: Environment, file: FileHandle): HeaderFile {
  const start = new Uint8Array(HEADER_ELECTION_BYTES);
  const { source, primary, shadow } = electHeader(start.subarray(0, file.readAt(start, 0)));
  if (source === 'none') {
    throw new EseError('JET_errReadVerifyFailure', 'both copies of the database header are damaged', {
      file: file.path,
    });
  }
  return new HeaderFile(environment, file, (source === 'primary' ? primary : shadow).bytes.slice());
}

/**
 * Makes both header copies of a file that is open for writing equal, by the one that is trusted: what a crash left
 * between the writes of the two is over then, and the next write finds a good copy beside the one that it replaces
 * (format specification, chapter 1.2.4). Does nothing where both are damaged.
 */
export function mendHeader(file: FileHandle): void {
  const start = new Uint8Array(HEADER_ELECTION_BYTES);
  const { source, primary, shadow, identical, pageSize } = electHeader(
    start.subarray(0, file.readAt(start, 0)),
  );
  if (source === 'none' || identical) return;
  file.writeAt(source === 'primary' ? primary.bytes : shadow.bytes, source === 'primary' ? pageSize : 0);
  file.sync();
}
