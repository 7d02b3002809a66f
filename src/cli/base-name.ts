/** Base names of log streams (format specification, chapter 6.1.2). Asked of every command line: it imports nothing. */

/** Whether a source names a whole log stream: three characters and no extension, in any directory. */
export function isBaseName(source: string): boolean {
  return /(?:^|[\\/])[^.\\/]{3}$/.test(source);
}
