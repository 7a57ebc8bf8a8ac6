import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { statistics } from "../dist/index.js";
import { symmetricEigen } from "../dist/statistics/transferability/symmetric-eigen.js";

const {
  hScore,
  linearProbe,
  linearProbeOfRegression,
  logMe,
  logMeOfRegression,
  nearestNeighbours,
  nearestNeighboursOfRegression,
  sfda,
} = statistics;

type Score =
  | "logMe"
  | "logMeOfRegression"
  | "hScore"
  | "shrunkHScore"
  | "sfda"
  | "nearestNeighbours"
  | "nearestNeighboursOfRegression"
  | "linearProbe"
  | "linearProbeOfRegression";
interface OracleCase extends Record<Score, number> {
  features: number[][];
  labels: number[];
  targets: number[];
  groups: number[];
}

/** Made by `oracles/transferability.py`, from the papers' equations. */
const { cases } = JSON.parse(
  readFileSync(new URL("oracles/transferability.json", import.meta.url), "utf8"),
) as { cases: OracleCase[] };

describe.each(cases.map((one) => ({ ...one, rows: one.features.length, width: one.features[0]?.length })))(
  "of $rows rows of $width features",
  ({ features, labels, targets, groups, ...wanted }) => {
    it.each<[Score, () => number]>([
      ["logMe", () => logMe(features, labels)],
      ["logMeOfRegression", () => logMeOfRegression(features, targets)],
      ["hScore", () => hScore(features, labels, { shrinkage: "none" })],
      ["shrunkHScore", () => hScore(features, labels)],
      ["sfda", () => sfda(features, labels)],
      ["nearestNeighbours", () => nearestNeighbours(features, labels, { groups })],
      ["nearestNeighboursOfRegression", () => nearestNeighboursOfRegression(features, targets, { groups })],
      ["linearProbe", () => linearProbe(features, labels, { groups })],
      ["linearProbeOfRegression", () => linearProbeOfRegression(features, targets, { groups })],
    ])("%s agrees with NumPy to 1e-6", (name, own) => {
      expect(Math.abs(own() - wanted[name])).toBeLessThan(1e-6);
    });
  },
);

describe("scores of transferability", () => {
  const { normal } = randomStream(1, "transferability");
  const rows = (count: number, width: number, of: (row: number, column: number) => number) =>
    Array.from({ length: count }, (_, row) =>
      Float64Array.from({ length: width }, (_, column) => of(row, column)),
    );
  const labels = Array.from({ length: 60 }, (_, row) => row % 2);
  const noise = rows(60, 6, () => normal());
  const telling = noise.map((row, at) => row.map((value) => value + 3 * (labels[at] as number)));

  it("are higher of features that tell the classes apart than of noise", () => {
    for (const score of [logMe, hScore, sfda, nearestNeighbours, linearProbe])
      expect(score(telling, labels)).toBeGreaterThan(score(noise, labels));
    expect(linearProbe(telling, labels)).toBeGreaterThan(0.95);
    expect(Math.abs(linearProbe(noise, labels) - 0.5)).toBeLessThan(0.25);
  });

  it("of the linear probe are at chance for noise, however few cases a class has", () => {
    const classes = Array.from({ length: 24 }, (_, row) => (row < 3 ? 0 : 1 + (row % 3)));
    const accuracies = Array.from({ length: 80 }, () =>
      linearProbe(
        rows(24, 16, () => normal()),
        classes,
      ),
    );
    const mean = accuracies.reduce((sum, value) => sum + value, 0) / accuracies.length;
    // Of one draw the standard deviation is about 0.12: of the mean of 80, 0.013.
    expect(Math.abs(mean - 0.25)).toBeLessThan(0.05);
  });

  it("do not change where the features are turned and moved, as far as their definition goes", () => {
    // A reflection along one direction, by hand.
    const direction = [1, 2, 3, 4, 5, 6].map((value) => value / Math.sqrt(91));
    const turned = telling.map((row) => {
      const along = row.reduce((sum, value, at) => sum + value * (direction[at] as number), 0);
      return row.map((value, at) => value - 2 * along * (direction[at] as number) + 7);
    });
    for (const score of [hScore, sfda, nearestNeighbours, linearProbe])
      expect(score(turned, labels)).toBeCloseTo(score(telling, labels), 8);
  });

  it("of features that are all the same say nothing, and are finite", () => {
    for (const value of [0, 3]) {
      const same = rows(60, 4, () => value);
      expect(hScore(same, labels)).toBe(0);
      expect(sfda(same, labels)).toBeCloseTo(Math.log(0.5), 12);
      expect(linearProbe(same, labels)).toBe(0.5);
      expect(Number.isFinite(logMe(same, labels))).toBe(true);
      expect(linearProbeOfRegression(same, labels)).toBeLessThan(0.01);
    }
  });

  it("judge a row by others' rows alone: a patient's second row does not answer for the first", () => {
    // Pairs of equal rows with labels drawn by lot: whoever looks at the twin is always right.
    const twins = rows(60, 6, (row, column) => noise[row >> 1]?.[column] as number);
    const lot = Array.from({ length: 60 }, (_, row) => (((row >> 1) * 7919) % 13) % 2);
    const groups = lot.map((_, row) => row >> 1);
    expect(nearestNeighbours(twins, lot, { neighbours: 1 })).toBe(1);
    expect(nearestNeighbours(twins, lot, { neighbours: 1, groups })).toBeLessThan(0.8);
  });

  it("refuse what they cannot score, with what was expected", () => {
    expect(() => logMe([[1, 2]], [0])).toThrow("at least two rows");
    expect(() => logMe([[1], [2, 3]], [0, 1])).toThrow("1 numbers");
    expect(() => hScore(noise, labels.fill(1).slice())).toThrow("at least two classes");
    expect(() => sfda([[1], [Number.NaN]], [0, 1])).toThrow("a finite number");
    expect(() =>
      nearestNeighbours(
        noise,
        labels.map((_, at) => at % 2),
        { groups: labels },
      ),
    ).toThrow("at least two groups");
  });
});

describe("eigenvalues of a symmetric matrix", () => {
  it.each([1, 2, 5, 40])("of %i rows give the matrix back, in falling order", (n) => {
    const { normal } = randomStream(n, "eigen");
    const matrix = new Float64Array(n * n);
    for (let i = 0; i < n; i++)
      for (let j = 0; j <= i; j++) {
        // Half of it 0, for the branches of zeros.
        const value = (i + j) % 2 ? 0 : normal();
        matrix[i * n + j] = value;
        matrix[j * n + i] = value;
      }
    const { values, vectors } = symmetricEigen(matrix, n);
    expect([...values]).toEqual([...values].sort((a, b) => b - a));
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) {
        let sum = 0;
        let product = 0;
        for (let k = 0; k < n; k++) {
          sum += (vectors[i * n + k] as number) * (values[k] as number) * (vectors[j * n + k] as number);
          product += (vectors[i * n + k] as number) * (vectors[j * n + k] as number);
        }
        expect(sum).toBeCloseTo(matrix[i * n + j] as number, 11);
        expect(product).toBeCloseTo(i === j ? 1 : 0, 12);
      }
  });
});
