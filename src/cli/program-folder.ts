/** Where the programs lie as they are shipped: the path is the same from the sources, from what is compiled, and from there. */
export const PROGRAM_FOLDER = new URL('../../dist/bin/', import.meta.url);
