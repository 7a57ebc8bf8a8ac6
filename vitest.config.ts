import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // The native addon keeps process-wide state (executor threads, live-tensor count): one process a test file.
    pool: "forks",
    maxWorkers: 2,
    reporters: ["default", "./scripts/count-reporter.mjs"],
    // Only what hangs is meant: a busy machine with two cores takes five times as long as an idle one.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
