import { describe, expect, it } from 'vitest';
import { COLTYP, type ColumnDefinition } from '../../src/format/column.js';
import { parseColumnValue } from '../../src/format/parse-value.js';

function column(type: keyof typeof COLTYP): ColumnDefinition {
  return {
    columnId: 1,
    name: 'c',
    coltyp: COLTYP[type],
    maxLength: 0,
    codePage: 1252,
    flags: 0,
    fixedOffset: 4,
    derived: false,
  };
}

describe('a typed value', () => {
  it.each([
    ['bit', 'TRUE', true],
    ['bit', '0', false],
    ['long', '-12', -12n],
    ['unsignedLongLong', '18446744073709551615', 18446744073709551615n],
    ['currency', '-12345', -12345n],
    ['ieeeDouble', '-1.5e3', -1500],
    ['dateTime', '2024-05-31', new Date('2024-05-31T00:00:00Z')],
    ['dateTime', '2024-05-31T12:30:05.250', new Date('2024-05-31T12:30:05.250Z')],
    ['dateTime', '2024-05-31T12:30Z', new Date('2024-05-31T12:30:00Z')],
    ['guid', 'a53c21f2-5e02-8083-e920-61a2bb31079b', 'a53c21f2-5e02-8083-e920-61a2bb31079b'],
    ['text', ' as it is ', ' as it is '],
    ['longBinary', 'e5A3', Uint8Array.of(0xe5, 0xa3)],
    ['binary', '', new Uint8Array(0)],
  ] as const)('%s %j', (type, text, value) => {
    expect(parseColumnValue(column(type), text)).toEqual(value);
  });

  it.each([
    ['bit', 'yes'],
    ['long', '1.5'],
    ['long', ''],
    ['long', '0x10'],
    ['ieeeSingle', 'NaN'],
    ['dateTime', '31.5.2024'],
    ['dateTime', '2024-02-31T25:00'],
    ['binary', 'abc'],
  ] as const)('%s is never %j', (type, text) => {
    expect(() => parseColumnValue(column(type), text)).toThrow(
      expect.objectContaining({ name: 'JET_errInvalidParameter' }),
    );
  });
});
