import { describe, expect, it } from "vitest";
import { mmdPermutationTest } from "../dist/alignment/permutation-test.js";
import { randomStream } from "../dist/common/random.js";
import { pearson, spearman } from "../dist/statistics/correlation.js";
import { jointCorrelation } from "../dist/statistics/joint-correlation.js";
import { specificationCurve } from "../dist/statistics/specification-curve.js";

const trials = 300;

type Stream = ReturnType<typeof randomStream>;
interface Trial {
  p: number;
  /** The chance of just this statistic: what a randomised p takes a random share of away. */
  mass: number;
}

/** The largest distance of the values' distribution from the uniform one (Kolmogorov & Smirnov). */
function distanceFromUniform(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.reduce(
    (most, value, i) => Math.max(most, (i + 1) / sorted.length - value, value - i / sorted.length),
    0,
  );
}

const normals = (stream: Stream, count: number) => Array.from({ length: count }, () => stream.normal());
const skewed = (stream: Stream, count: number) => normals(stream, count).map((value) => Math.exp(value));

/** Every order of 0 to n − 1. */
const orders = (n: number): number[][] =>
  n === 0
    ? [[]]
    : orders(n - 1).flatMap((order) =>
        order.map((_, i) => [...order.slice(0, i), n - 1, ...order.slice(i)]).concat([[...order, n - 1]]),
      );

const ranks = [0, 1, 2, 3, 4, 5];
/** All p that Spearman's ρ of six points can have, in ascending order. */
const ofSpearman = [
  ...new Set(orders(6).map((order) => Math.round(720 * (spearman(ranks, order).p as number)))),
].sort((a, b) => a - b);

/** Rows of so many features; a patient's rows lie together. */
function rowsOf(stream: Stream, sizes: readonly number[], prefix: string) {
  const data: number[] = [];
  const patients: string[] = [];
  for (const [patient, rows] of sizes.entries()) {
    const centre = normals(stream, 2);
    for (let row = 0; row < rows; row++) {
      data.push(...centre.map((value) => value + 0.2 * stream.normal()));
      patients.push(`${prefix}${patient}`);
    }
  }
  return { set: { data: Float64Array.from(data), shape: [patients.length, 2] }, patients };
}

const tests: [string, (stream: Stream, trial: number) => Trial | Promise<Trial>][] = [
  [
    "Pearson's r of six points",
    (stream) => ({ p: pearson(skewed(stream, 6), skewed(stream, 6)).p as number, mass: 1 / 720 }),
  ],
  [
    "Spearman's ρ of six points",
    (stream) => {
      const p = spearman(normals(stream, 6), normals(stream, 6)).p as number;
      const place = ofSpearman.indexOf(Math.round(720 * p));
      return { p, mass: p - (ofSpearman[place - 1] ?? 0) / 720 };
    },
  ],
  [
    "Pearson's r of twelve points, whose orders are drawn",
    (stream, seed) => ({
      p: pearson(skewed(stream, 12), skewed(stream, 12), { seed, resamples: 199 }).p as number,
      mass: 1 / 200,
    }),
  ],
  [
    "the largest |r| of three panels over six tasks",
    (stream) => {
      const y = skewed(stream, 6);
      const panels = [0, 1, 2].map(() => ({ x: normals(stream, 6), y }));
      return { p: jointCorrelation(panels).p as number, mass: 1 / 720 };
    },
  ],
  [
    "the median r of five specifications over six tasks",
    (stream) => {
      const distance = normals(stream, 6);
      const y = skewed(stream, 6);
      const curve = specificationCurve(
        Array.from({ length: 5 }, (_, index) => ({
          choices: { way: String(index) },
          x: distance.map((value) => value + 0.5 * stream.normal()),
          y,
        })),
      );
      return { p: curve.median?.p as number, mass: 1 / 720 };
    },
  ],
  [
    "MMD² of paired rows, several a patient, swapped patient by patient",
    async (stream) => {
      const { set, patients } = rowsOf(stream, [1, 3, 2, 1, 2, 3, 1, 2], "p");
      const network = () => ({ ...set, data: set.data.map((value) => value + 0.3 * stream.normal()) });
      const options = { sigma: 2, paired: true, patients: { a: patients, b: patients } };
      const { pValue, exact, permutations } = await mmdPermutationTest(network(), network(), options);
      expect([exact, permutations]).toEqual([true, 128]);
      return { p: pValue, mass: 1 / 128 };
    },
  ],
  [
    "MMD² of other patients in both sets, several rows each",
    async (stream) => {
      // Which patients have several rows is chance as well: they, too, could be in either set.
      const sizes = () => stream.integer(1, 3);
      const a = rowsOf(stream, Array.from({ length: 3 }, sizes), "a");
      const b = rowsOf(stream, Array.from({ length: 5 }, sizes), "b");
      const options = { sigma: 2, patients: { a: a.patients, b: b.patients } };
      const { pValue, exact, permutations } = await mmdPermutationTest(a.set, b.set, options);
      expect([exact, permutations]).toEqual([true, 56]);
      return { p: pValue, mass: 1 / 56 };
    },
  ],
];

describe(`the p of a permutation test, in ${trials} studies in which nothing is true`, () => {
  it.each(tests)(
    "is at most alpha in a share of alpha, and uniform once randomised: %s",
    async (name, test) => {
      const values: number[] = [];
      const randomised: number[] = [];
      for (let trial = 0; trial < trials; trial++) {
        const stream = randomStream(51, name, trial);
        const { p, mass } = await test(stream, trial);
        expect(mass).toBeGreaterThan(0);
        values.push(p);
        randomised.push(p - mass * stream.uniform());
      }
      for (const alpha of [0.01, 0.05, 0.1, 0.3, 0.5]) {
        const share = values.filter((value) => value <= alpha + 1e-12).length / trials;
        // The 99.9 % bound, and for the smallest one, where normal bounds are too narrow, one study more.
        const most = alpha + 3.1 * Math.sqrt((alpha * (1 - alpha)) / trials) + 1 / trials;
        expect(share, `alpha ${alpha}`).toBeLessThan(most);
      }
      // Exceeded by chance once in 1,000.
      expect(distanceFromUniform(randomised)).toBeLessThan(1.95 / Math.sqrt(trials));
    },
    180_000,
  );
});
