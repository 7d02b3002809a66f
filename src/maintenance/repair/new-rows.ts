import { createByteWriter } from '../../format/byte-writer.js';
import { createCatalogRowDecoder } from '../../format/catalog-row.js';
import {
  CATALOG_COLUMNS_WRITTEN,
  type NewCatalogRow,
  setCatalogRow,
} from '../../format/catalog-row-encoder.js';
import { createRecordLayout } from '../../format/record.js';
import { createRecordEncoder } from '../../format/record-encoder.js';
import type { CatalogRecord } from '../defrag/new-catalog.js';

/** Makes catalog rows that no copy of the catalog has. */
export function createRowMaker(pageSize: number): (row: NewCatalogRow) => CatalogRecord {
  const encoder = createRecordEncoder(createRecordLayout(CATALOG_COLUMNS_WRITTEN, pageSize));
  const decode = createCatalogRowDecoder(pageSize);
  return (row) => {
    encoder.clear();
    setCatalogRow(encoder, row);
    const out = createByteWriter(256);
    encoder.encode(out);
    const record = out.bytes.slice(0, out.length);
    return { row: decode(record, 0, record.length), record };
  };
}
