import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { Tensor } from "../dist/index.js";

const megabytes = 64;
const one = Tensor.from(new Float32Array((megabytes << 20) / 4), [megabytes, 1 << 18]);
afterAll(() => one.dispose());

/** An operation of another tensor of 64 MB, which is let go at once. */
const another = async () => (await one.clamp(0, 1)).dispose();
const repeat = async (times: number) => {
  for (let time = 0; time < times; time++) await another();
};

describe("memory of large tensors", () => {
  it("is taken again for the next ones, and need not be cleared for each", async () => {
    await repeat(3);
    const before = process.resourceUsage().minorPageFault;
    await repeat(20);
    // Anew it would be 32 pages of 2 MB each time, or 16,384 of 4 KB.
    expect((process.resourceUsage().minorPageFault - before) / 20).toBeLessThan(20);
  });

  it("never grows beyond what tensors held at once", async () => {
    await repeat(3);
    const before = process.memoryUsage.rss();
    await repeat(20);
    expect((process.memoryUsage.rss() - before) / 2 ** 20).toBeLessThan(megabytes / 2);
  });

  it("is given back once nothing was computed for a while", async () => {
    await repeat(3);
    const before = process.memoryUsage.rss();
    await sleep(2500);
    expect((before - process.memoryUsage.rss()) / 2 ** 20).toBeGreaterThan(megabytes / 2);
  });
});
