/** The bytes of a hexadecimal text; everything that is no digit is ignored. */
export function bytesOf(hexadecimal: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hexadecimal.replace(/[^0-9a-f]/gi, ''), 'hex'));
}

export function hexOf(bytes: Uint8Array, length: number = bytes.length): string {
  return Buffer.from(bytes.subarray(0, length)).toString('hex');
}

/** The text, read byte for byte. */
export function asciiOf(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}
