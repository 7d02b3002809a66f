"""Prints every row of every table of a database as impacket reads it, one JSON object a line."""

import json
import sys
from binascii import hexlify
from struct import unpack

from impacket import ese


def tag_of_large_page(page, number):
    """ESENT_PAGE.getTag for pages above 8 KiB: impacket 0.10 takes bytes for characters there, and stops."""
    count = page.record['FirstAvailablePageTag']
    header = len(page.record)
    at = len(page.data) - 4 * (number + 1)
    if number >= count:
        raise Exception('there is no tag %d' % number)
    size, offset = (word & 0x7FFF for word in unpack('<HH', page.data[at : at + 4]))
    data = bytearray(page.data[header + offset : header + offset + size])
    flags = 0
    if len(data) > 1:
        flags = data[1] >> 5
        data[1] &= 0x1F
    return flags, bytes(data)


def shown(column_type, value):
    if value is None:
        return None
    if isinstance(value, bytes):
        raw = column_type == ese.JET_coltypGUID
        return (hexlify(value) if raw else value).decode('ascii')
    return value if isinstance(value, str) else repr(value)


def main(path, page_size):
    if page_size > 8192:
        ese.ESENT_PAGE.getTag = tag_of_large_page
    database = ese.ESENT_DB(path)
    for table, parts in database._ESENT_DB__tables.items():
        columns = {name: part['Record']['ColumnType'] for name, part in parts['Columns'].items()}
        cursor = database.openTable(table)
        while True:
            row = database.getNextRow(cursor)
            if row is None:
                break
            cells = {name.decode(): shown(columns[name], value) for name, value in row.items()}
            print(json.dumps({'table': table.decode(), 'row': cells}))


main(sys.argv[1], int(sys.argv[2]))
