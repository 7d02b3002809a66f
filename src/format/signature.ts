import { encodeLogtime, LOGTIME_BYTES, type Logtime, readLogtime } from './logtime.js';

/**
 * SIGNATURE: 28 bytes that identify a database, a log stream or a header write (format specification,
 * chapter 1.2.1): u32 random number, LOGTIME of creation, 16 bytes of computer name (zero today).
 */
export interface Signature {
  readonly random: number;
  readonly created: Logtime | undefined;
  readonly computer: string;
  /** The 28 bytes themselves; two signatures are equal when these are. */
  readonly bytes: Uint8Array;
}

/** Size of a SIGNATURE in bytes. */
export const SIGNATURE_BYTES = 28;

const COMPUTER_NAME_OFFSET = 4 + LOGTIME_BYTES;

/** Decodes the signature at `offset` (its bytes are copied). */
export function readSignature(bytes: Uint8Array, offset: number): Signature {
  const own = new Uint8Array(bytes.subarray(offset, offset + SIGNATURE_BYTES));
  const random = new DataView(own.buffer).getUint32(0, true);
  let computer = '';
  for (let i = COMPUTER_NAME_OFFSET; i < SIGNATURE_BYTES; i++) {
    const c = own[i] ?? 0;
    if (c === 0) break;
    computer += String.fromCharCode(c);
  }
  return { random, created: readLogtime(own, 4), computer, bytes: own };
}

/** A signature of something new; the computer name stays empty, as in today's engines. */
export function newSignature(random: number, created: Logtime): Signature {
  const bytes = new Uint8Array(SIGNATURE_BYTES);
  new DataView(bytes.buffer).setUint32(0, random, true);
  encodeLogtime(bytes, 4, created);
  return readSignature(bytes, 0);
}

/** Whether the signature was ever set (any byte not zero). */
export function isSignatureSet(signature: Signature): boolean {
  return signature.bytes.some((b) => b !== 0);
}

/** Bytewise equality, the rule by which files belong together. */
export function signaturesEqual(a: Signature, b: Signature): boolean {
  return a.bytes.every((byte, i) => byte === b.bytes[i]);
}
