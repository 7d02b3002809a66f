import { describe, expect, it } from 'vitest';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { walkTree } from '../../src/engine/tree-reader.js';
import { createByteWriter } from '../../src/format/byte-writer.js';
import { COLTYP, COLUMN_FLAG, type ColumnDefinition } from '../../src/format/column.js';
import { createNodeView } from '../../src/format/page.js';
import { createRecordLayout } from '../../src/format/record.js';
import { createRecordEncoder, recordBytesMost } from '../../src/format/record-encoder.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { allCorpusDatabases, describeWithCorpus } from '../corpus.js';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));

function column(columnId: number, coltyp: number, more: Partial<ColumnDefinition> = {}): ColumnDefinition {
  return {
    columnId,
    name: `c${columnId}`,
    coltyp,
    maxLength: 0,
    codePage: 0,
    flags: 0,
    fixedOffset: 0,
    derived: false,
    ...more,
  };
}

function encoded(
  columns: readonly ColumnDefinition[],
  pageSize: number,
  fill: (encoder: ReturnType<typeof createRecordEncoder>) => void,
): string {
  const encoder = createRecordEncoder(createRecordLayout(columns, pageSize));
  encoder.clear();
  fill(encoder);
  const out = createByteWriter(100);
  encoder.encode(out);
  return Buffer.from(out.bytes.subarray(0, out.length)).toString('hex');
}

describe('records as they are written', () => {
  it('a row in which nothing is set has four bytes', () => {
    expect(encoded([column(1, COLTYP.long, { fixedOffset: 4 })], 4096, () => {})).toBe('007f0400');
  });

  it('a skipped fixed column is filled with stars, and unused bits of the bitmap are 1', () => {
    const columns = [column(1, COLTYP.long, { fixedOffset: 4 }), column(2, COLTYP.short, { fixedOffset: 8 })];
    expect(encoded(columns, 4096, (row) => row.setValue(1, { bytes: hex('0500') }))).toBe(
      '027f0b00 2a2a2a2a 0500 fd'.replaceAll(' ', ''),
    );
  });

  it('a skipped column with a default is stored with it', () => {
    const columns = [
      column(1, COLTYP.short, { fixedOffset: 4, flags: COLUMN_FLAG.default, defaultValue: hex('0700') }),
      column(2, COLTYP.bit, { fixedOffset: 6 }),
      column(128, COLTYP.binary, { flags: COLUMN_FLAG.default, defaultValue: hex('aabb') }),
      column(129, COLTYP.binary),
    ];
    const row = encoded(columns, 4096, (into) => {
      into.setValue(1, { bytes: hex('ff') });
      into.setValue(3, { bytes: hex('') });
    });
    expect(row).toBe('02810800 0700 ff fc 0200 0200 aabb'.replaceAll(' ', ''));
  });

  it('two short values take the short form on small pages and offsets on large ones', () => {
    const columns = [column(256, COLTYP.bit, { flags: COLUMN_FLAG.multiValued })];
    const values = [{ bytes: hex('00') }, { bytes: hex('ff') }];
    expect(encoded(columns, 4096, (row) => row.setValues(0, values))).toBe(
      '007f0400000104401801 00ff'.replaceAll(' ', ''),
    );
    expect(encoded(columns, 16384, (row) => row.setValues(0, values))).toBe(
      '007f0400000104000804000500 00ff'.replaceAll(' ', ''),
    );
  });

  it('NULL removes a tagged value, and is stored where a default would come through', () => {
    const plain = [column(256, COLTYP.long)];
    const withDefault = [
      column(256, COLTYP.long, { flags: COLUMN_FLAG.default, defaultValue: hex('01000000') }),
    ];
    const set = (row: ReturnType<typeof createRecordEncoder>) => {
      row.setValue(0, { bytes: hex('02000000') });
      row.setNull(0);
    };
    expect(encoded(plain, 4096, set)).toBe('007f0400');
    expect(encoded(withDefault, 4096, set)).toBe('007f040000010420');
    expect(encoded(withDefault, 32768, set)).toBe('007f04000001040020');
  });

  it('a long value always has a header byte, and says whether it lies elsewhere', () => {
    const columns = [column(256, COLTYP.longBinary)];
    expect(encoded(columns, 4096, (row) => row.setValue(0, { bytes: hex('ab') }))).toBe(
      '007f040000010440 01ab'.replaceAll(' ', ''),
    );
    expect(
      encoded(columns, 4096, (row) => row.setValue(0, { bytes: hex('03000000'), separated: true })),
    ).toBe('007f040000010440 0503000000'.replaceAll(' ', ''));
  });

  it('the largest record is the node less the limits of chapter 3.2', () => {
    expect(recordBytesMost(4056, false, 255)).toBe(4048 - 2 - 257);
    expect(recordBytesMost(4056, false, 4)).toBe(4048 - 2 - 255);
    expect(recordBytesMost(32688, true, 255)).toBe(32680 - 4 - 255);
  });
});

describeWithCorpus('records of real databases', () => {
  for (const { name, path } of allCorpusDatabases()) {
    it(`every record of ${name} is encoded again to its own bytes`, () => {
      const database = openDatabaseReader(nodeFileSystem, path);
      const node = createNodeView();
      let records = 0;
      for (const table of database.tables()) {
        const layout = createRecordLayout(table.columns, database.pageSize);
        const encoder = createRecordEncoder(layout);
        const out = createByteWriter(database.pageSize);
        walkTree(database.source, table, {
          leaf: (page) => {
            for (let line = 0; line < page.nodeCount; line++) {
              page.readNode(line, node);
              out.length = 0;
              encoder.load(page.bytes, node.dataOffset, node.dataOffset + node.dataLength);
              const size = encoder.encode(out);
              const same =
                Buffer.compare(
                  Buffer.from(out.bytes.buffer, out.bytes.byteOffset, size),
                  Buffer.from(page.bytes.buffer, page.bytes.byteOffset + node.dataOffset, node.dataLength),
                ) === 0;
              if (!same) {
                expect.fail(
                  `${table.name}: ${Buffer.from(page.data(node)).toString('hex')} became ${Buffer.from(out.bytes.subarray(0, size)).toString('hex')}`,
                );
              }
              records++;
            }
            return true;
          },
          damaged: () => {},
        });
      }
      database.close();
      expect(records).toBeGreaterThan(0);
    });
  }
});
