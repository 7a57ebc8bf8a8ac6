import { describe, expect, it } from "vitest";
import { noiseSchedule } from "../dist/diffusion/schedule.js";

describe("noise schedules", () => {
  it("has the linear schedule's betas and the closed form of its signal", () => {
    const { betas, alphaBar } = noiseSchedule("linear", 1000);
    expect(betas[0]).toBe(0);
    expect(betas[1]).toBeCloseTo(1e-4, 12);
    expect(betas[1000]).toBeCloseTo(0.02, 12);
    // log alphaBar_T by its power series: the sums of beta^k are those of arithmetic progressions.
    const d = 0.0199 / 999;
    const n = 1000;
    const sum1 = (n * (1e-4 + 0.02)) / 2;
    const sum2 = n * 1e-8 + 1e-4 * d * n * (n - 1) + (d * d * (n - 1) * n * (2 * n - 1)) / 6;
    const approximate = Math.exp(-sum1 - sum2 / 2);
    expect(Math.abs((alphaBar[1000] as number) / approximate - 1)).toBeLessThan(1e-3);
  });

  it("keeps about the same signal at the end for every number of linear steps", () => {
    const long = noiseSchedule("linear", 1000).alphaBar[1000] as number;
    const longer = noiseSchedule("linear", 4000).alphaBar[4000] as number;
    expect(Math.abs(Math.log(long) / Math.log(longer) - 1)).toBeLessThan(0.01);
  });

  it("follows the squared cosine up to where beta is clipped", () => {
    const { alphaBar, betas } = noiseSchedule("cosine", 1000);
    const level = (t: number) => Math.cos(((t / 1000 + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
    for (const t of [1, 10, 250, 500, 900, 999]) {
      expect((alphaBar[t] as number) / (level(t) / level(0))).toBeCloseTo(1, 9);
    }
    expect(betas[1000]).toBe(0.999);
    expect(alphaBar[1000]).toBeGreaterThan(0);
  });

  it.each(["linear", "cosine"] as const)("loses signal at every step of the %s schedule", (name) => {
    const { alphaBar, signal, noise, logSnr } = noiseSchedule(name, 200);
    expect(alphaBar[0]).toBe(1);
    for (let t = 1; t <= 200; t++) {
      expect(alphaBar[t]).toBeLessThan(alphaBar[t - 1] as number);
      expect(logSnr[t]).toBeLessThan(logSnr[t - 1] as number);
      expect((signal[t] as number) ** 2 + (noise[t] as number) ** 2).toBeCloseTo(1, 12);
    }
  });

  it("refuses a number of steps that is not a whole number of at least 1", () => {
    for (const steps of [0, -1, 1.5, Number.NaN, 1e9]) {
      expect(() => noiseSchedule("cosine", steps)).toThrow(/whole number from 1 to 100000/);
    }
  });
});
