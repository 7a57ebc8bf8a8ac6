import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { intensityStatistics } from "../dist/tasks/trivial/intensity-statistics.js";
import { classPrior, logisticRegression, standardiser } from "../dist/tasks/trivial/logistic-regression.js";
import { MeanMask } from "../dist/tasks/trivial/mean-mask.js";
import { addPairs, binOf, fitMonotoneMap, isotonic, noPairs } from "../dist/tasks/trivial/monotone-map.js";
import { interpolateSlices } from "../dist/tasks/trivial/slice-interpolation.js";

/** By SciPy, scikit-learn and NumPy: test/oracles/trivial.py. */
const oracle = JSON.parse(readFileSync(new URL("./oracles/trivial.json", import.meta.url), "utf8")) as {
  interpolation: { slices: number; first: number; coarse: number[]; linear: number[]; cubic: number[] }[];
  monotone: { direction: "rising" | "falling"; source: number[]; target: number[]; values: number[] }[];
  masks: { masks: number[][]; atLeast: number; meanDice: number }[];
  statistics: { values: number[]; expected: number[] }[];
  regression: { rows: number[][]; classes: number[]; new: number[][]; probabilities: number[][] }[];
};

const largestDifference = (one: ArrayLike<number>, other: ArrayLike<number>): number => {
  expect(one.length).toBe(other.length);
  return Math.max(...Array.from(one, (value, index) => Math.abs(value - (other[index] as number))));
};

describe("interpolation of missing slices", () => {
  it.each(oracle.interpolation)(
    "is NumPy's linear and SciPy's natural cubic one, of $slices slices from $first on",
    ({ slices, first, coarse, ...expected }) => {
      for (const method of ["linear", "cubic"] as const) {
        const fine = interpolateSlices(Float32Array.from(coarse), slices, 2, first, method);
        expect(largestDifference(fine, expected[method])).toBeLessThan(1e-6);
      }
    },
  );

  it("gives a ramp back between its slices, and repeats the only slice there is", () => {
    const ramp = interpolateSlices(Float32Array.of(0.5, 2.5, 4.5, 6.5), 4, 2, 0.5, "cubic");
    expect(largestDifference(ramp, [0.5, 1, 2, 3, 4, 5, 6, 6.5])).toBeLessThan(1e-6);
    for (const method of ["linear", "cubic"] as const)
      expect([...interpolateSlices(Float32Array.of(3, 5), 1, 2, 0.5, method)]).toEqual([3, 5, 3, 5]);
  });
});

describe("the monotone map of intensities", () => {
  it.each(oracle.monotone)("is scikit-learn's isotonic regression over all voxels, $direction", (one) => {
    const pairs = noPairs();
    const [half, all] = [Math.floor(one.source.length / 2), one.source.length];
    for (const [from, to] of [
      [0, half],
      [half, all],
    ])
      addPairs(
        pairs,
        Float32Array.from(one.source.slice(from, to)),
        Float32Array.from(one.target.slice(from, to)),
      );
    const { direction, values } = fitMonotoneMap(pairs);
    expect(direction).toBe(one.direction);
    expect(largestDifference(values, one.values)).toBeLessThan(1e-6);
  });

  it("pools what violates the order, by weight", () => {
    expect(isotonic([1, 3, 2, 4], [1, 1, 3, 1])).toEqual([1, 2.25, 2.25, 4]);
    expect(isotonic([3, 2, 1], [1, 1, 1])).toEqual([2, 2, 2]);
  });

  it("has 256 bins of [0, 1], the last of which holds 1", () => {
    expect([0, 1 / 256, 0.999, 1, -1e-9, 1 + 1e-9].map(binOf)).toEqual([0, 1, 255, 255, 0, 255]);
  });
});

describe("the mean of training masks", () => {
  it.each(oracle.masks)(
    "is cut where the mean Dice over the masks with a lesion is largest: $atLeast masks agree",
    ({ masks, atLeast, meanDice }) => {
      const mean = new MeanMask();
      for (const mask of masks) mean.add(Float32Array.from(mask));
      const best = mean.bestThreshold();
      expect(best.atLeast).toBe(atLeast);
      expect(best.meanDice).toBeCloseTo(meanDice, 12);
      const counts = masks[0]?.map((_, voxel) => masks.filter((mask) => mask[voxel] === 1).length);
      expect([...mean.counts]).toEqual(counts);
    },
  );

  it("takes the smallest of equally good numbers, and 1 where no mask shows anything", () => {
    const alike = new MeanMask();
    for (let time = 0; time < 3; time++) alike.add(Float32Array.of(0, 1, 1));
    expect(alike.bestThreshold()).toEqual({ atLeast: 1, meanDice: 1 });
    const empty = new MeanMask();
    empty.add(new Float32Array(4));
    expect(empty.bestThreshold()).toEqual({ atLeast: 1, meanDice: null });
  });
});

describe("intensity statistics", () => {
  it.each(oracle.statistics)("are NumPy's", ({ values, expected }) => {
    expect(largestDifference(intensityStatistics(Float32Array.from(values)), expected)).toBeLessThan(1e-6);
  });

  it("hold where most voxels are alike", () => {
    const values = Float32Array.from({ length: 100_001 }, (_, index) =>
      index % 10 === 0 ? index / 100_000 : 0,
    );
    const sorted = [...values].sort((a, b) => a - b);
    const at = (percent: number) => sorted[percent * 1000] as number;
    expect(intensityStatistics(values).slice(2)).toEqual([5, 25, 50, 75, 95].map(at));
  });
});

describe("logistic regression", () => {
  it.each(oracle.regression)("is scikit-learn's, multinomial, on standardised features", (one) => {
    const standardise = standardiser(one.rows);
    const probabilities = logisticRegression(one.rows.map(standardise), one.classes, 4);
    one.new.forEach((row, index) => {
      expect(
        largestDifference(probabilities(standardise(row)), one.probabilities[index] as number[]),
      ).toBeLessThan(1e-6);
    });
  });

  it("gives the one class that all cases have, and the share of each class where features say nothing", () => {
    expect(logisticRegression([[1], [-1]], [2, 2], 4)([5])).toEqual([0, 0, 1, 0]);
    const shares = logisticRegression([[0], [0], [0], [0]], [0, 0, 0, 3], 4)([0]);
    expect(largestDifference(shares, [0.75, 0, 0, 0.25])).toBeLessThan(1e-9);
  });

  it("stands beside the prior, which is how often each class occurs", () => {
    expect(classPrior([0, 0, 3, 1], 4)([])).toEqual([0.5, 0.25, 0, 0.25]);
  });
});
