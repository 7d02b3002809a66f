import { existsSync } from 'node:fs';

/** Whether a program of the build is there; the output says so where tests are skipped for the lack of it. */
export function isBuilt(program: string): boolean {
  const isThere = existsSync(program);
  if (!isThere) console.warn(`skipped, not built (npm run build): ${program}`);
  return isThere;
}
