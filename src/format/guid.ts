/** GUID values: u32, u16, u16 little-endian, then eight bytes (format specification, chapter 3.5). */
export const GUID_BYTES = 16;
export const GUID_TEXT_BYTES = 36;

/** Stored position of each byte in the order in which a GUID is written. */
export const GUID_TEXT_ORDER = Uint8Array.of(3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15);

/** Whether the text form has a hyphen before its byte `index`. */
export function hyphenBefore(index: number): boolean {
  return index === 4 || index === 6 || index === 8 || index === 10;
}

/** The lower-case 8-4-4-4-12 form of the 16 bytes at `start`. */
export function formatGuid(bytes: Uint8Array, start: number): string {
  let text = '';
  for (let i = 0; i < GUID_BYTES; i += 1) {
    const byte = bytes[start + (GUID_TEXT_ORDER[i] ?? 0)] ?? 0;
    text += (hyphenBefore(i) ? '-' : '') + byte.toString(16).padStart(2, '0');
  }
  return text;
}
