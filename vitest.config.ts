import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // The native addon keeps process-wide state (executor threads, live-tensor count): one process a test file.
    pool: "forks",
    maxWorkers: 2,
    reporters: ["default", "./scripts/count-reporter.mjs"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
