import { describe, expect, it } from "vitest";
import type { Distance, KernelDistance } from "../dist/results/distances.js";
import { judgeDrift, type SeedPair } from "../dist/statistics/drift.js";

const kernel = (biased: number, saturated = false): KernelDistance => ({
  sigma: 1,
  biased,
  unbiased: biased,
  offDiagonalMean: 0.5,
  kernelMeans: { withinA: 0.5, withinB: 0.5, between: 0.4 },
  flags: saturated ? ["ceiling"] : [],
  saturated,
});

const d2p = (seed: number, paper: KernelDistance, median: number, procrustes: number | null): Distance => ({
  task: "super-resolution",
  strategy: "direct",
  model: "profound",
  seed,
  name: "D2P",
  rows: 10,
  features: 4,
  paper,
  medianHeuristic: kernel(median),
  multiBandwidth: { biased: median, unbiased: median, flags: [] },
  withoutKernel: { linearCka: 0.5, procrustes, meanShift: 1 },
  warning: null,
});
const pair = (paper: KernelDistance, median: number, procrustes: number | null): SeedPair => ({
  paper,
  medianHeuristic: kernel(median),
  procrustes,
});

describe("D2P against the drift between seeds", () => {
  it("is beyond it where the D2P of every seed is larger than the largest distance between two seeds", () => {
    const distances = [0.5, 0.6, 0.41].map((value, seed) => d2p(seed, kernel(value), 0.1, 0.1));
    const pairs = [0.4, 0.2, 0.3].map((value) => pair(kernel(value), 0.1, 0.1));
    const judged = judgeDrift(distances, pairs, 3);
    expect(judged).toMatchObject({ verdict: "beyond", measure: "paper", chance: 0.25 });
    expect(judged.value).toBeCloseTo((0.5 + 0.6 + 0.41) / 3, 12);
    expect(judged.reason).toContain("beyond the drift between seeds (0.20 to 0.40 over 3 pairs)");
    expect(judged.reason).toContain("in up to 1 of 4 studies");
  });

  it("is within it where that of one seed is not, however far above 0 it lies", () => {
    const distances = [0.5, 0.39].map((value, seed) => d2p(seed, kernel(value), 0.1, 0.1));
    const judged = judgeDrift(distances, [pair(kernel(0.4), 0.1, 0.1)], 2);
    expect(judged).toMatchObject({ verdict: "within", chance: 1 / 3 });
    expect(judged.reason).toContain("over 1 pair)");
  });

  it("of a frozen encoder, which did not move, is within it", () => {
    const distances = [0, 0].map((value, seed) => d2p(seed, kernel(value), 0, 0));
    expect(judgeDrift(distances, [pair(kernel(0), 0, 0)], 2)).toMatchObject({ verdict: "within", value: 0 });
  });

  it("is judged by what is a distance: at the features' own scale where the paper's is saturated, else Procrustes", () => {
    const distances = [0.5, 0.6].map((value, seed) => d2p(seed, kernel(1.8, true), value, 0.9));
    const own = judgeDrift(distances, [pair(kernel(0.1), 0.4, 0.2)], 2);
    expect(own).toMatchObject({ verdict: "beyond", measure: "medianHeuristic" });
    const saturated = distances.map((one) => ({ ...one, medianHeuristic: kernel(1.9, true) }));
    expect(judgeDrift(saturated, [pair(kernel(0.1), 0.4, 1.2)], 2)).toMatchObject({
      verdict: "within",
      measure: "procrustes",
    });
    const nothing = judgeDrift(saturated, [pair(kernel(0.1), 0.4, null)], 2);
    expect(nothing).toMatchObject({ verdict: "not-known", measure: null, value: null });
  });

  it("is not known from one seed, without D2P, or where a pair could not be compared", () => {
    const one = judgeDrift([d2p(1, kernel(0.5), 0.1, 0.1)], [], 1);
    expect(one).toMatchObject({ verdict: "not-known", chance: null });
    expect(one.reason).toContain("one seed");
    expect(judgeDrift([], [pair(kernel(0.4), 0.1, 0.1)], 2).verdict).toBe("not-known");
    const two = [1, 2].map((seed) => d2p(seed, kernel(0.5), 0.1, 0.1));
    const apart = judgeDrift(two, [], 2);
    expect(apart).toMatchObject({ verdict: "not-known", chance: null });
    expect(apart.reason).toContain("no features of the same test cases");
  });

  it("calls as much beyond as it says, where the pretrained encoder is one more training", () => {
    // Points on a line, all drawn alike: the first stands for the pretrained encoder.
    let state = 7;
    const uniform = () => {
      state = (state * 48271) % 2147483647;
      return state / 2147483647;
    };
    const studies = 4000;
    let beyond = 0;
    for (let study = 0; study < studies; study++) {
      const [pretrained, ...seeds] = Array.from({ length: 4 }, uniform) as [number, ...number[]];
      const distances = seeds.map((at, seed) => d2p(seed, kernel((at - pretrained) ** 2), 0.1, 0.1));
      const pairs = seeds.flatMap((at, i) =>
        seeds.slice(0, i).map((other) => pair(kernel((at - other) ** 2), 0.1, 0.1)),
      );
      if (judgeDrift(distances, pairs, 3).verdict === "beyond") beyond++;
    }
    expect(beyond / studies).toBeLessThanOrEqual(0.25 + 3.3 * Math.sqrt((0.25 * 0.75) / studies));
    expect(beyond).toBeGreaterThan(0);
  });
});
