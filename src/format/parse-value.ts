/** Values as people type them, for keys to search by. */
import { COLTYP, type ColumnDefinition, coltypName } from './column.js';
import type { ColumnValue } from './column-value.js';
import { EseError } from './ese-error.js';

const INTEGER = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const HEX = /^(?:[0-9a-f]{2})*$/i;
const DATE = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?Z?$/;

/**
 * The value that a text means in a column, as the exports write it: a number (Currency in ten-thousandths), `true`, an ISO 8601 date (read as UTC), a GUID, hexadecimal for
 * binary, text as it is.
 *
 * @throws EseError JET_errInvalidParameter if it means none
 */
export function parseColumnValue({ name, coltyp }: ColumnDefinition, text: string): ColumnValue {
  const refuse = (what: string): never => {
    throw new EseError(
      'JET_errInvalidParameter',
      `column ${name} of type ${coltypName(coltyp)} takes ${what}, not ${JSON.stringify(text)}`,
    );
  };
  switch (coltyp) {
    case COLTYP.bit:
      if (/^(?:true|1)$/i.test(text)) return true;
      return /^(?:false|0)$/i.test(text) ? false : refuse('true or false');
    case COLTYP.unsignedByte:
    case COLTYP.short:
    case COLTYP.unsignedShort:
    case COLTYP.long:
    case COLTYP.unsignedLong:
    case COLTYP.currency:
    case COLTYP.longLong:
    case COLTYP.unsignedLongLong:
      return INTEGER.test(text) ? BigInt(text) : refuse('a whole number');
    case COLTYP.ieeeSingle:
    case COLTYP.ieeeDouble:
      return NUMBER.test(text) ? Number(text) : refuse('a number');
    case COLTYP.dateTime: {
      const date = new Date(
        DATE.test(text) ? `${text.replace(/Z$/, '')}${text.includes('T') ? 'Z' : ''}` : Number.NaN,
      );
      return Number.isNaN(date.getTime()) ? refuse('a date such as 2024-05-31T12:00:00') : date;
    }
    case COLTYP.guid:
    case COLTYP.text:
    case COLTYP.longText:
      return text;
    default:
      return HEX.test(text) ? Uint8Array.from(Buffer.from(text, 'hex')) : refuse('hexadecimal digits');
  }
}
