import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Whole-file tests take seconds on a quiet machine, and must not fail on a busy one.
    testTimeout: 180_000,
  },
});
