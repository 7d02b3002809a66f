import { expect, it } from 'vitest';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';
import { createNumbers } from '../support/numbers.js';

it('a checkpoint waits for pages that had left the cache before', () => {
  const { disk, instance, database } = createEngineLab();
  createNumbers(instance.createSession(), database);
  let isSynced = false;
  const order: string[] = [];
  disk.faults = ({ operation, path, offset = 0 }) => {
    if (path === LAB_DATABASE && operation === 'sync') isSynced = true;
    if (path === LAB_DATABASE && operation === 'writeAt' && offset >= 8192) isSynced = false;
    if (path === `${LAB}/E00.chk` && operation === 'writeAt') order.push(isSynced ? 'synced' : 'too early');
    return undefined;
  };
  // As it happens where the cache makes room: the pages are written, and nothing is left to write later.
  expect(database.pool.flush()).toBeGreaterThan(0);
  expect(database.pool.dirtyPages).toBe(0);
  instance.checkpoint();
  disk.faults = undefined;
  expect(order).toEqual(['synced', 'synced']);
});
