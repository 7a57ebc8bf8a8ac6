import { describe, expect, it } from "vitest";
import { runTrials } from "../scripts/claim-trials/trials.mjs";

const nothingWrong = { notDone: [], doneTwice: [], damaged: [], otherErrors: [] };

// A thousand of each: node scripts/claim-trials.mjs, and with --slow-disk.
describe("processes of two hosts that want to do one cell, killed and frozen at random, with clocks ten minutes apart", () => {
  it("do each cell once and whole, and write nothing once they were passed over", async () => {
    const found = await runTrials({ trials: 40, atOnce: 5, seed: 20, deadAfter: 600 });
    expect(found).toMatchObject({ ...nothingWrong, trials: 40 });
    expect(found.killed).toBeGreaterThan(5);
    expect(found.frozen).toBeGreaterThan(20);
    expect(found.passedOver).toBeGreaterThan(0);
    // Beside the stated time, what a machine that is busy with other things takes to look again.
    expect(found.longestUnclaimed).toBeLessThan(600 + 5000);
  }, 120_000);

  it("do so where there are no hard links, and renames take their time and are answered late", async () => {
    const found = await runTrials({ trials: 10, atOnce: 5, seed: 21, deadAfter: 600, slowDisk: true });
    expect(found).toMatchObject({ ...nothingWrong, trials: 10 });
    expect(found.killed + found.frozen).toBeGreaterThan(5);
  }, 120_000);

  it("are found out by these trials where they do not ask whether their claim still stands", async () => {
    const found = await runTrials({ trials: 10, atOnce: 5, seed: 22, deadAfter: 600, careless: true });
    expect(found.frozen).toBe(10);
    expect(found.doneTwice.length).toBeGreaterThan(5);
  }, 120_000);
});
