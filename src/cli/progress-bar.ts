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
