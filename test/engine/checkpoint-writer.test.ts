import { describe, expect, it } from 'vitest';
import {
  type CheckpointWriterOptions,
  createCheckpointWriter,
  lowestLgpos,
} from '../../src/engine/checkpoint-writer.js';
import { decodeCheckpoint, electCheckpoint } from '../../src/format/checkpoint.js';
import type { Lgpos } from '../../src/format/ese-error.js';
import { logtimeOf } from '../../src/format/logtime.js';
import { newSignature } from '../../src/format/signature.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { createSimulatedDisk, failAtCall, SimulatedCrash, stopAtCall } from '../../src/io/simulated-disk.js';

const PATH = '/system/E00.chk';
const at = (generation: number, isec: number, ib = 0): Lgpos => ({ generation, isec, ib });

const ATTACHMENT = {
  dbid: 1,
  flags: 0x20,
  dbtime: 500,
  objidLast: 9,
  cpgMax: 0,
  lgposAttach: at(1, 2, 40),
  lgposConsistent: at(0, 0),
  signDb: newSignature(2, logtimeOf(1)),
  names: ['store.edb'],
};

function optionsOn(fs: FileSystem): CheckpointWriterOptions {
  return {
    fs,
    path: PATH,
    signLog: newSignature(1, logtimeOf(0)),
    dbmsParam: {
      systemPath: '/system/',
      logPath: '/logs/',
      flags: 0,
      sessions: 1,
      openTables: 2,
      verPages: 3,
      cursors: 4,
      logBuffers: 5,
      csecLGFile: 16,
      cacheSizeMax: 7,
    },
  };
}

function writerOn(fs: FileSystem) {
  fs.mkdir('/system');
  return createCheckpointWriter(optionsOn(fs));
}

function fileOn(fs: FileSystem): Uint8Array {
  const handle = fs.open(PATH, 'read');
  const bytes = new Uint8Array(handle.size());
  handle.readAt(bytes, 0);
  handle.close();
  return bytes;
}

describe('a checkpoint file', () => {
  it('is written twice, with the list of attached databases', () => {
    const disk = createSimulatedDisk();
    const writer = writerOn(disk);
    expect(writer.lgpos).toEqual(at(1, 1));
    writer.update({ lgposCheckpoint: at(1, 1), attachments: [ATTACHMENT] });
    const bytes = fileOn(disk);
    expect(bytes.length).toBe(8192);
    expect(electCheckpoint(bytes).copies.map(({ ok }) => ok)).toEqual([true, true]);
    expect(bytes.subarray(4096)).toEqual(bytes.subarray(0, 4096));
    expect(decodeCheckpoint(bytes)).toMatchObject({
      lgposCheckpoint: at(1, 1),
      lgposDbConsistency: at(1, 1),
      signLog: { random: 1 },
      flags: 1,
      filetype: 4,
      attachments: [{ dbid: 1, names: ['store.edb'], dbtime: 500 }],
      dbmsParam: { csecLGFile: 16 },
    });
  });

  it('never goes back, and has no position in a header', () => {
    const disk = createSimulatedDisk();
    const writer = writerOn(disk);
    writer.update({ lgposCheckpoint: at(3, 0), lgposDbConsistency: at(3, 7, 80), attachments: [] });
    expect(writer.lgpos).toEqual(at(3, 1));
    writer.update({ lgposCheckpoint: at(2, 9, 100), attachments: [] });
    expect(writer.lgpos).toEqual(at(3, 1));
    expect(decodeCheckpoint(fileOn(disk))).toMatchObject({
      lgposCheckpoint: at(3, 1),
      lgposDbConsistency: at(3, 1),
    });
  });

  it('says after a clean end that nothing is to be redone', () => {
    const disk = createSimulatedDisk();
    const writer = writerOn(disk);
    writer.update({ lgposCheckpoint: at(1, 4), attachments: [ATTACHMENT] });
    writer.end(at(2, 7));
    expect(decodeCheckpoint(fileOn(disk))).toMatchObject({
      lgposCheckpoint: at(2, 7),
      lgposDbConsistency: at(2, 7),
      flags: 0,
      attachments: [],
    });
  });

  it('keeps what it says of backups', () => {
    const disk = createSimulatedDisk();
    writerOn(disk).update({ lgposCheckpoint: at(1, 4), attachments: [] });
    const previous = {
      ...decodeCheckpoint(fileOn(disk)),
      lgposFullBackup: at(1, 3),
      logtimeFullBackup: logtimeOf(7e11),
    };
    const writer = createCheckpointWriter({ ...optionsOn(disk), previous });
    expect(writer.lgpos).toEqual(at(1, 4));
    writer.update({ lgposCheckpoint: at(1, 5), attachments: [] });
    expect(decodeCheckpoint(fileOn(disk))).toMatchObject({
      lgposFullBackup: at(1, 3),
      logtimeFullBackup: logtimeOf(7e11),
      lgposCheckpoint: at(1, 5),
    });
  });

  it('is not written again when nothing has changed', () => {
    const disk = createSimulatedDisk();
    const writer = writerOn(disk);
    writer.update({ lgposCheckpoint: at(1, 4), attachments: [] });
    const { calls } = disk;
    writer.update({ lgposCheckpoint: at(1, 4), attachments: [] });
    expect(disk.calls).toBe(calls);
  });

  it('moves only once the databases have been raised', () => {
    const disk = createSimulatedDisk();
    const writer = writerOn(disk);
    writer.update({ lgposCheckpoint: at(1, 4), attachments: [] });
    const raised: Lgpos[] = [];
    writer.update({
      lgposCheckpoint: at(1, 5),
      attachments: [],
      raiseDatabases: (lgpos) => {
        expect(decodeCheckpoint(fileOn(disk)).lgposCheckpoint).toEqual(at(1, 4));
        raised.push(lgpos);
      },
    });
    expect(raised).toEqual([at(1, 5)]);
    const fails = () => {
      throw new Error('no header was written');
    };
    expect(() =>
      writer.update({ lgposCheckpoint: at(1, 6), attachments: [], raiseDatabases: fails }),
    ).toThrow();
    expect(writer.lgpos).toEqual(at(1, 5));
    expect(decodeCheckpoint(fileOn(disk)).lgposCheckpoint).toEqual(at(1, 5));
  });

  it('is written anew after a failure', () => {
    const disk = createSimulatedDisk();
    const writer = writerOn(disk);
    writer.update({ lgposCheckpoint: at(1, 4), attachments: [] });
    disk.faults = failAtCall(disk.calls + 3);
    const next = { lgposCheckpoint: at(1, 5), attachments: [] };
    expect(() => writer.update(next)).toThrowError(expect.objectContaining({ name: 'JET_errDiskIO' }));
    disk.faults = undefined;
    expect(writer.lgpos).toEqual(at(1, 4));
    writer.update(next);
    expect(decodeCheckpoint(fileOn(disk)).lgposCheckpoint).toEqual(at(1, 5));
  });

  it('holds the old or the new position after a crash at any moment', () => {
    const found = new Set<string>();
    for (let call = 1; ; call++) {
      const disk = createSimulatedDisk();
      const writer = writerOn(disk);
      writer.update({ lgposCheckpoint: at(1, 4), attachments: [] });
      disk.faults = stopAtCall(disk.calls + call);
      let isDone = false;
      try {
        writer.update({ lgposCheckpoint: at(1, 5), attachments: [ATTACHMENT] });
        isDone = true;
      } catch (error) {
        expect(error).toBeInstanceOf(SimulatedCrash);
      }
      for (let seed = 0; seed < 20; seed++) {
        const { lgposCheckpoint } = decodeCheckpoint(fileOn(disk.crash(seed)));
        found.add(`${lgposCheckpoint.isec}`);
        if (isDone) expect(lgposCheckpoint.isec).toBe(5);
      }
      if (isDone) break;
    }
    expect([...found].sort()).toEqual(['4', '5']);
  });
});

describe('the value of a checkpoint', () => {
  it('is the lowest position that redo still needs', () => {
    expect(lowestLgpos(at(5, 3), [])).toEqual(at(5, 3));
    expect(lowestLgpos(at(5, 3), [at(4, 9, 50), at(4, 2, 90), at(6, 1)])).toEqual(at(4, 2, 90));
  });
});
