import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { pearson, spearman } from "../dist/statistics/correlation.js";
import { detectableCorrelation } from "../dist/statistics/detectable-correlation.js";
import { jointCorrelation } from "../dist/statistics/joint-correlation.js";

const oracle = JSON.parse(readFileSync(new URL("oracles/relation.json", import.meta.url), "utf8")) as {
  permutations: { x: number[]; y: number[]; pearson: number; spearman: number }[];
  detectable: { n: number; power: number; alpha: number; rho: number }[];
};

/** How far at most a share of `n` true draws lies from its probability, but for once in a thousand. */
const error = (probability: number, n: number) => 3.3 * Math.sqrt((probability * (1 - probability)) / n);

describe("a correlation's p-value by permutation", () => {
  it.each(oracle.permutations.map((golden, index) => ({ ...golden, index, n: golden.x.length })))(
    "is SciPy's to 1e-12 (case $index, $n points)",
    (golden) => {
      expect(Math.abs((pearson(golden.x, golden.y).p as number) - golden.pearson)).toBeLessThan(1e-12);
      expect(Math.abs((spearman(golden.x, golden.y).p as number) - golden.spearman)).toBeLessThan(1e-12);
    },
  );

  it("is 2 in 120 for five ranks in full agreement, never 0", () => {
    expect(spearman([1, 2, 3, 4, 5], [1, 4, 9, 16, 25])).toMatchObject({
      p: 2 / 120,
      method: "exact permutation",
    });
    expect(spearman([1, 2, 3, 4, 5], [25, 16, 9, 4, 1])).toMatchObject({ p: 2 / 120 });
  });

  it.each([
    { n: 5, draw: "skewed", of: pearson },
    { n: 6, draw: "normal", of: spearman },
    { n: 12, draw: "skewed", of: pearson },
  ])("under no relation lies below alpha no more often than alpha ($n $draw points)", ({ n, draw, of }) => {
    const random = randomStream(n, "no relation", draw);
    const value = () => (draw === "skewed" ? Math.exp(2 * random.normal()) : random.normal());
    const studies = 2_000;
    const ps = Array.from({ length: studies }, (_, seed) => {
      const [x, y] = [0, 1].map(() => Array.from({ length: n }, value)) as [number[], number[]];
      return of(x, y, { seed, resamples: 199 }).p as number;
    });
    for (const alpha of [0.01, 0.05, 0.1, 0.5]) {
      const share = ps.filter((p) => p <= alpha).length / studies;
      expect(share).toBeLessThanOrEqual(alpha + error(alpha, studies));
    }
    // p is a multiple of a step; spread evenly within its step it is uniform (without ties: skewed values).
    if (draw !== "skewed") return;
    const step = n <= 9 ? 1 / 120 : 1 / 200;
    const spread = ps.map((p) => p - step * random.uniform()).sort((a, b) => a - b);
    const largest = Math.max(...spread.map((p, i) => Math.max((i + 1) / studies - p, p - i / studies)));
    expect(largest).toBeLessThan(1.95 / Math.sqrt(studies)); // Kolmogorov and Smirnov, at 0.001
  });

  it("is the same for the same seed, and another way is refused", () => {
    const random = randomStream(3, "twelve");
    const [x, y] = [0, 1].map(() => Array.from({ length: 12 }, () => random.normal())) as [
      number[],
      number[],
    ];
    expect(pearson(x, y, { seed: 4 })).toEqual(pearson(x, y, { seed: 4 }));
    expect(() => pearson(x, y, { p: "normal" as "student" })).toThrow('"permutation" or "student"');
    expect(() => pearson(x, y, { resamples: 0 })).toThrow("resamples");
  });
});

describe("a correlation's 95 % interval", () => {
  it.each([5, 8].flatMap((n) => [0, 0.5, 0.9].map((rho) => ({ n, rho }))))(
    "holds the true value in at least 93 % of studies ($n points, rho $rho)",
    ({ n, rho }) => {
      const random = randomStream(1, "coverage", n, rho);
      const ranks = (6 / Math.PI) * Math.asin(rho / 2);
      const studies = 600;
      const held = { pearson: 0, spearman: 0 };
      for (let study = 0; study < studies; study++) {
        const x = Array.from({ length: n }, () => random.normal());
        const y = x.map((value) => rho * value + Math.sqrt(1 - rho ** 2) * random.normal());
        const [low, high] = pearson(x, y, { p: "student" }).interval as [number, number];
        if (low <= rho && rho <= high) held.pearson++;
        const [from, to] = spearman(x, y, { p: "student" }).interval as [number, number];
        if (from <= ranks && ranks <= to) held.spearman++;
      }
      expect(held.pearson / studies).toBeGreaterThan(0.95 - error(0.05, studies));
      expect(held.spearman / studies).toBeGreaterThan(0.95 - error(0.05, studies));
    },
    120_000,
  );
});

describe("the correlation that a study finds with a given power", () => {
  it.each(oracle.detectable)("is $rho for $n points at power $power, alpha $alpha", (golden) => {
    const { n, power, alpha, rho } = golden;
    expect(Math.abs(detectableCorrelation(n, power, alpha) - rho)).toBeLessThan(1e-7);
  });

  it("refuses a power that is no more than alpha", () => {
    expect(() => detectableCorrelation(10, 0.05)).toThrow("between alpha (0.05) and 1 for power");
  });
});

describe("relations on several panels, judged together", () => {
  it("find one where there is none in no more than 5 % of studies, six panels over the same tasks", () => {
    const random = randomStream(9, "panels");
    const studies = 600;
    let [joint, any] = [0, 0];
    for (let study = 0; study < studies; study++) {
      const panels = [0, 1].flatMap(() => {
        const y = Array.from({ length: 6 }, () => random.normal());
        return Array.from({ length: 3 }, () => ({ x: y.map(() => random.normal()), y }));
      });
      const found = jointCorrelation(panels);
      if ((found.p as number) <= 0.05) joint++;
      if (found.panels.some(({ p }) => (p as number) <= 0.05)) any++;
    }
    expect(joint / studies).toBeLessThanOrEqual(0.05 + error(0.05, studies));
    expect(any / studies).toBeGreaterThan(0.15); // what a look at single panels would have found
  });

  it("agree with one panel's own p where there is one alone", () => {
    const [golden] = oracle.permutations.filter(({ x }) => x.length === 7) as [
      (typeof oracle.permutations)[0],
    ];
    const { panels, p } = jointCorrelation([{ x: golden.x, y: golden.y }]);
    expect(p).toBeCloseTo(golden.pearson, 12);
    expect(panels[0]).toMatchObject({ n: 7, verdict: "undetermined", reason: "undecided: under 8 tasks" });
  });

  it("are never supported by fewer than eight tasks, and from eight on where the joint p says so", () => {
    const line = (n: number) => Array.from({ length: n }, (_, i) => i);
    const [seven] = jointCorrelation([{ x: line(7), y: line(7) }]).panels;
    expect(seven).toMatchObject({ verdict: "undetermined", reason: "undecided: under 8 tasks" });
    expect(seven?.r).toBeCloseTo(1, 12);
    const [eight] = jointCorrelation([{ x: line(8), y: line(8) }]).panels;
    expect(eight).toMatchObject({ jointP: 2 / 40_320, verdict: "supported" });
    const [flat] = jointCorrelation([{ x: line(8), y: line(8).map(() => 1) }]).panels;
    expect(flat).toMatchObject({ r: null, jointP: null, verdict: "undetermined" });
  });

  it("say how far r moves without one task", () => {
    // By hand: without the last task the others are in full agreement; without another the last one rules.
    const [one] = jointCorrelation([{ x: [1, 2, 3, 4], y: [1, 2, 3, -9] }]).panels;
    expect(one?.leaveOneOut?.[1]).toBeCloseTo(1, 12);
    expect(one?.leaveOneOut?.[0]).toBeLessThan(-0.8);
  });

  it("take tasks that only some panels have, and refuse panels of different lengths", () => {
    const { panels } = jointCorrelation([
      { x: [1, 2, 3, 4, 5], y: [2, 1, 4, 3, 5] },
      { x: [1, null, 3, 4, null], y: [2, null, 4, 3, null] },
    ]);
    expect(panels.map(({ n }) => n)).toEqual([5, 3]);
    expect(() =>
      jointCorrelation([
        { x: [1, 2, 3], y: [1, 2, 3] },
        { x: [1, 2], y: [1, 2] },
      ]),
    ).toThrow("panels[1].x");
  });
});
