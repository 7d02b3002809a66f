import { describe, expect, it } from 'vitest';
import { archivedLogName, parseLogFileName } from '../../src/io/log-file-names.js';

describe('the name of a log file', () => {
  it.each([
    ['E00.log', { role: 'current', extension: '.log', generation: 0, digits: 0 }],
    ['E00.jtx', { role: 'current', extension: '.jtx', generation: 0, digits: 0 }],
    ['E00tmp.log', { role: 'tmp', extension: '.log', generation: 0, digits: 0 }],
    ['E0000003.log', { role: 'archived', extension: '.log', generation: 3, digits: 5 }],
    ['E0000000003.log', { role: 'archived', extension: '.log', generation: 3, digits: 8 }],
    ['E000000002D.log', { role: 'archived', extension: '.log', generation: 0x2d, digits: 8 }],
    ['e00000a5.LOG', { role: 'archived', extension: '.log', generation: 0xa5, digits: 5 }],
    ['E00FFFFF.jtx', { role: 'archived', extension: '.jtx', generation: 0xfffff, digits: 5 }],
  ])('%s is taken apart', (name, expected) => {
    expect(parseLogFileName(name, 'E00')).toEqual(expected);
  });

  it.each([
    'E01.log',
    'E00',
    'E00.chk',
    'E000003.log',
    'E000000003.log',
    'E00000003x.log',
    'E0000000000.log',
    'E00res00001.jrs',
    'E0000003.log.bak',
    'xE0000003.log',
  ])('%s is none of the stream E00', (name) => {
    expect(parseLogFileName(name, 'E00')).toBeUndefined();
  });

  it('of an archived log has five digits or eight, and eight where five do not do', () => {
    expect(archivedLogName('E00', 0x2d, 8, '.log')).toBe('E000000002D.log');
    expect(archivedLogName('E00', 0x2d, 5, '.log')).toBe('E000002D.log');
    expect(archivedLogName('edb', 0xfffff, 5, '.jtx')).toBe('edbFFFFF.jtx');
    expect(archivedLogName('edb', 0x100000, 5, '.log')).toBe('edb00100000.log');
  });
});
