/** The classic progress bar: 51 dots under a scale (format specification, chapters 6.1.8 and 6.2.1). */

const SCALE_WIDTH = 51;
const INDENT = ' '.repeat(10);
const DOTS_BEFORE_END = 50;

export interface ProgressBar {
  /** Shows how much is done; never goes backwards. */
  update(done: number, total: number): void;
  /** Fills the row. */
  complete(): void;
  /** Ends the row with an `X`; no dot may follow. */
  fail(): void;
}

/** A bar that shows nothing. */
export const NO_PROGRESS: ProgressBar = { update: () => {}, complete: () => {}, fail: () => {} };

/** Terminal controls: remember the cursor, clear to the end of the line, go back to the cursor. */
const [SAVE_CURSOR, CLEAR_LINE_END, RESTORE_CURSOR] = ['\u001b7', '\u001b[K', '\u001b8'];
const RATE_INTERVAL_MS = 500;

/** The same bar with rate and time left behind the dots, for a terminal. */
export function withRate(bar: ProgressBar, write: (text: string) => void, now: () => number): ProgressBar {
  const started = now();
  let shown = started;
  const clear = () => write(CLEAR_LINE_END);
  return {
    update(done, total) {
      bar.update(done, total);
      const time = now();
      if (time - shown < RATE_INTERVAL_MS || done <= 0 || total <= 0) return;
      shown = time;
      const seconds = (time - started) / 1000;
      const perSecond = ((100 * done) / total / seconds).toFixed(1);
      const left = Math.ceil((seconds * (total - done)) / done);
      write(`${SAVE_CURSOR}  ${perSecond} %/s, ${left} s left${CLEAR_LINE_END}${RESTORE_CURSOR}`);
    },
    complete() {
      clear();
      bar.complete();
    },
    fail() {
      clear();
      bar.fail();
    },
  };
}

/** Draws a bar with `write`; `operation` is `Checksum`, `Restore`… */
export function drawProgressBar(write: (text: string) => void, title: string): ProgressBar {
  const padding = ' '.repeat(Math.max(0, Math.floor((SCALE_WIDTH - title.length) / 2)));
  write(`\n${INDENT}${padding}${title}\n\n`);
  write(`${INDENT}0    10   20   30   40   50   60   70   80   90  100\n`);
  write(`${INDENT}|----|----|----|----|----|----|----|----|----|----|\n${INDENT}`);
  let dots = 0;
  let ended = false;
  const advanceTo = (wanted: number): void => {
    if (ended || wanted <= dots) return;
    write('.'.repeat(wanted - dots));
    dots = wanted;
  };
  return {
    update(done, total) {
      if (total > 0) advanceTo(Math.min(DOTS_BEFORE_END, Math.floor((done / total) * DOTS_BEFORE_END)));
    },
    complete() {
      advanceTo(DOTS_BEFORE_END + 1);
      if (!ended) write('\n\n');
      ended = true;
    },
    fail() {
      if (!ended) write('X\n\n');
      ended = true;
    },
  };
}
