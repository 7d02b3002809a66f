import { describe, expect, it } from 'vitest';
import { allCorpusDatabases, describeWithCorpus } from '../corpus.js';
import { compareWithEsedbexport, hasEsedbexport } from '../support/esedbexport.js';

describe.skipIf(!hasEsedbexport)('comparison with esedbexport', () => {
  describeWithCorpus('cell by cell', () => {
    /** Files that the exporter cannot read, and why (docs/esedbexport.md). */
    const UNREADABLE = new Map([
      ['large.edb', 'tagged offsets of 15 bits'],
      ['srum-crash-redo/SRUDB.dat', 'pages that were never written'],
      ['srum-crash-undo/SRUDB.dat', 'pages that were never written'],
    ]);
    for (const { name, path } of allCorpusDatabases()) {
      if (UNREADABLE.has(name)) continue;
      it(`every cell of ${name} is equal, or differs in a known way`, () => {
        const { kinds, rows, unexplained } = compareWithEsedbexport(path);
        expect(unexplained).toEqual([]);
        expect(rows).toBeGreaterThan(0);
        expect(kinds.get('equal')).toBeGreaterThan(rows);
      });
    }
  });
});
