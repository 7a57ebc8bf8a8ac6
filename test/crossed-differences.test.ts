import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chiSquaredBelow, chiSquaredQuantile } from "../dist/statistics/chi-squared.js";
import { type CrossedDifference, crossedDifference, crossedPair } from "../dist/statistics/crossed.js";
import { holm } from "../dist/statistics/holm.js";

interface Oracle {
  name: string;
  first: number[][];
  second: number[][];
  estimate: number;
  squares: [number, number, number];
  p: number;
  half95: number;
  half90: number;
}
const oracles = JSON.parse(
  readFileSync(new URL("./oracles/crossed.json", import.meta.url), "utf8"),
) as Oracle[];

const differenceOf = (first: number[][], second: number[][]) =>
  crossedDifference(crossedPair(first, second)) as CrossedDifference;

/** Tables of 2 to 5 seeds and 2 to 8 patients, the second of positive numbers. */
const tables = fc
  .record({ seeds: fc.integer({ min: 2, max: 5 }), patients: fc.integer({ min: 2, max: 8 }) })
  .chain(({ seeds, patients }) => {
    const table = fc.array(
      fc.array(fc.double({ min: 0.01, max: 1, noNaN: true }), { minLength: patients, maxLength: patients }),
      { minLength: seeds, maxLength: seeds },
    );
    return fc.record({ first: table, second: table });
  });

describe("the mean difference of two methods over crossed seeds and patients", () => {
  it.each(oracles)(
    "has NumPy's estimate and mean squares, and its p and intervals drawn there: $name",
    (one) => {
      const { bySeed, byPatient, rest } = crossedPair(one.first, one.second);
      for (const [index, form] of [bySeed, byPatient, rest].entries()) {
        const { first = 0, product = 0, second = 0 } = form ?? {};
        expect(first - 2 * product + second).toBeCloseTo(one.squares[index] as number, 12);
      }
      const difference = differenceOf(one.first, one.second);
      expect(difference.estimate).toBeCloseTo(one.estimate, 12);
      expect(Math.abs(difference.p - one.p)).toBeLessThan(0.01);
      for (const [level, half] of [
        [0.95, one.half95],
        [0.9, one.half90],
      ] as const) {
        const [low, high] = difference.interval(level);
        expect((high - low) / 2 / half).toBeGreaterThan(0.95);
        expect((high - low) / 2 / half).toBeLessThan(1.05);
        expect((high + low) / 2).toBeCloseTo(one.estimate, 12);
      }
    },
  );

  it("is not known from one seed or one patient", () => {
    expect(crossedDifference(crossedPair([[1, 2, 3]], [[0, 1, 2]]))).toBeNull();
    expect(crossedDifference(crossedPair([[1], [2]], [[0], [1]]))).toBeNull();
  });

  it("has p below 0.05 exactly where the 95 % interval leaves out 0", () => {
    fc.assert(
      fc.property(tables, ({ first, second }) => {
        const difference = differenceOf(first, second);
        const [low, high] = difference.interval(0.95);
        if (Math.abs(difference.p - 0.05) < 1e-6) return;
        expect(low > 0 || high < 0).toBe(difference.p < 0.05);
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  it("never contradicts its ratio: Fieller's set leaves out 1 exactly where the interval leaves out 0", () => {
    fc.assert(
      fc.property(tables, ({ first, second }) => {
        const difference = differenceOf(first, second);
        const ratio = difference.ratio(0.95);
        if (ratio === null || Math.abs(difference.p - 0.05) < 1e-6) return;
        const [low, high] = difference.interval(0.95);
        expect(ratio.low > 1).toBe(low > 0);
        expect(ratio.high < 1).toBe(high < 0);
        expect(Math.sign(ratio.estimate - 1)).toBe(Math.sign(difference.estimate));
        expect(ratio.low).toBeLessThanOrEqual(ratio.estimate);
        expect(ratio.high).toBeGreaterThanOrEqual(ratio.estimate);
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  it("has no bounded ratio to what may be 0", () => {
    const noise = (phase: number) =>
      [0, 1, 2].map((s) => [0, 1, 2, 3].map((i) => Math.sin(7 * s + 3 * i + phase)));
    expect(differenceOf(noise(0), noise(1)).ratio(0.95)).toBeNull();
  });

  it("refuses tables that are not of one size, and numbers that are none", () => {
    expect(() => crossedPair([[1, 2]], [[1]])).toThrow(/1 rows of 2 numbers for second but received/);
    expect(() => crossedPair([], [])).toThrow(/for first but received \[\]/);
    expect(() => crossedPair([[1, Number.NaN]], [[1, 2]])).toThrow(/first\[0\]\[1\] but received NaN/);
  });
});

describe("chi-squared", () => {
  // scipy.stats.chi2.ppf, SciPy 1.17
  it.each([
    [1e-6, 1, 1.5707963267957187e-12],
    [0.5, 1, 0.454936423119572],
    [0.025, 2, 0.05063561596857975],
    [0.975, 9, 19.02276779864163],
    [0.3, 147, 137.54840382031492],
    [0.999, 1323, 1487.6748628559571],
  ])("at %f of %i degrees is %f", (probability, degrees, quantile) => {
    expect(chiSquaredQuantile(probability, degrees) / quantile).toBeCloseTo(1, 10);
    expect(chiSquaredBelow(quantile, degrees)).toBeCloseTo(probability, 10);
  });
});

describe("Holm's adjustment", () => {
  it("multiplies the smallest by all, the next by one fewer, never falling and never above 1", () => {
    // statsmodels multipletests(method="holm") of the same numbers.
    expect(holm([0.01, 0.04, 0.03, 0.005])).toEqual([0.03, 0.06, 0.06, 0.02]);
    expect(holm([0.6, 0.7])).toEqual([1, 1]);
    expect(holm([])).toEqual([]);
  });
});
