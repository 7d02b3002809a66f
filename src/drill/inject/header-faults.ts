import { DATABASE_STATE } from '../../format/database-header.js';
import { PAGE_SIZES } from '../../format/page.js';
import { randomBelow, randomFill } from '../../io/seeded-random.js';
import { type DatabaseVictim, type FaultChoice, tooFew } from './database-victim.js';

/** Faults of the header and of the size of the file. */

const HEADER = -1;
const SHADOW_HEADER = 0;

/** The state is dirty, and logs are required. */
export function dirtyState(victim: DatabaseVictim): void {
  const generation = Math.max(1, victim.header.lgposConsistent.generation);
  victim.editHeader({
    state: DATABASE_STATE.dirtyShutdown,
    genMinRequired: generation,
    genMaxRequired: generation,
    genMaxCommitted: generation,
  });
  victim.note({ pgno: HEADER, what: `the state is dirty, log generation ${generation} is required` });
}

/** The time of the database lies before that of its pages. */
export function oldDbtime(victim: DatabaseVictim): void {
  const { dbtimeDirtied } = victim.header;
  const dbtime = Math.floor(dbtimeDirtied / 2);
  victim.editHeader({ dbtimeDirtied: dbtime });
  victim.note({ pgno: HEADER, what: `the dbtime is ${dbtime} in place of ${dbtimeDirtied}` });
}

/** The header states another page size. */
export function wrongPageSize(victim: DatabaseVictim, { random }: FaultChoice): void {
  const others = PAGE_SIZES.filter((size) => size >= 4096 && size !== victim.pageSize);
  const size = others[randomBelow(random, others.length)] ?? 0;
  victim.editHeader({ cbPageSize: size });
  victim.note({ pgno: HEADER, what: `the page size is ${size} in place of ${victim.pageSize}` });
}

/** The second copy of the header is an older one. */
export function olderShadow(victim: DatabaseVictim): void {
  const { dbtimeDirtied } = victim.header;
  victim.editHeader({ dbtimeDirtied: dbtimeDirtied - 1 }, [SHADOW_HEADER]);
  victim.note({ pgno: SHADOW_HEADER, what: 'the second copy is older than the first' });
}

/** The file ends within the page that is `choice.count` pages before its end. */
export function cutWithinPage(victim: DatabaseVictim, choice: FaultChoice): void {
  const { pageSize, lastPgno } = victim;
  const last = choice.pgno ?? lastPgno - choice.count + 1;
  if (last < 1 || last > lastPgno) throw tooFew(victim.file.path, 'such page', choice, 0);
  const bytes = 1 + randomBelow(choice.random, pageSize - 1);
  victim.file.cut((last + 1) * pageSize + bytes);
  victim.note({ pgno: last, what: `the file ends ${bytes} bytes into page ${last}` });
}

/** The last pages that the database owns are gone, and what lay behind them. */
export function cutPages(victim: DatabaseVictim, choice: FaultChoice): void {
  const owned = Math.min(victim.lastPgno, victim.reader.lastOwnedPgno());
  const first = choice.pgno ?? owned - choice.count + 1;
  if (first < 1 || first > owned) throw tooFew(victim.file.path, 'owned page to be cut off', choice, 0);
  victim.file.cut((first + 1) * victim.pageSize);
  victim.note({ pgno: first, what: `the file ends before page ${first}; the database owns ${owned} pages` });
}

/** Pages of random bytes follow the last one. */
export function appendJunk(victim: DatabaseVictim, { random, count }: FaultChoice): void {
  const junk = new Uint8Array(count * victim.pageSize);
  randomFill(random, junk);
  victim.file.append(junk);
  victim.note({ pgno: victim.lastPgno + 1, what: `${count} pages of random bytes follow the last page` });
}
