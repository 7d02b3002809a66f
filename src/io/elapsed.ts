/**
 * Milliseconds since some moment, for durations only. `performance` tells the same, but is a library of its own, which
 * is loaded when it is asked for: that takes longer than what is measured in a short run.
 */
export function elapsedMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}
