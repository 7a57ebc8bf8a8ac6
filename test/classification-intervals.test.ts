import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import {
  aucDifference,
  aucInterval,
  kappaInterval,
  specificityDifference,
  specificityInterval,
} from "../dist/statistics/classification-intervals.js";

interface Golden {
  labels: boolean[];
  first: number[];
  second: number[];
  areas: [number, number];
  se: [number, number];
  differenceSe: number;
  p: number;
}
const { cases: goldens } = JSON.parse(
  readFileSync(new URL("oracles/delong.json", import.meta.url), "utf8"),
) as { cases: Golden[] };

/** Scores of positive cases are normal around `distance`, those of negative ones around 0. */
function drawn(
  random: ReturnType<typeof randomStream>,
  positives: number,
  negatives: number,
  distance: number,
) {
  const labels = Array.from({ length: positives + negatives }, (_, i) => i < positives);
  return { labels, scores: labels.map((label) => random.normal(label ? distance : 0)) };
}

describe("the area under the ROC curve", () => {
  it.each(goldens.map((golden, index) => ({ ...golden, index })))(
    "has DeLong's standard error, and its paired test (case $index)",
    ({ labels, first, second, areas, se, differenceSe, p }) => {
      const one = aucInterval({ labels, scores: first });
      expect(one.estimate).toBeCloseTo(areas[0], 9);
      expect(one.se).toBeCloseTo(se[0], 9);
      expect(aucInterval({ labels, scores: second }).se).toBeCloseTo(se[1], 9);
      const difference = aucDifference({ labels, first, second });
      expect(difference.estimate).toBeCloseTo(areas[0] - areas[1], 9);
      expect(difference.se).toBeCloseTo(differenceSe, 9);
      expect(difference.p).toBeCloseTo(p, 9);
    },
  );

  it("is no surer of cases that are copies of one another within a patient", () => {
    const { labels, first } = goldens[0] as Golden;
    const patients = labels.map((_, i) => `patient ${i}`);
    const twice = <Value>(list: readonly Value[]) => [...list, ...list];
    const copied = aucInterval({ labels: twice(labels), scores: twice(first), patients: twice(patients) });
    expect(copied.se).toBeCloseTo(aucInterval({ labels, scores: first, patients }).se as number, 12);
    expect(copied.n).toBe(labels.length);
  });
});

describe("the specificity at a sensitivity of 0.9", () => {
  // Of scores N(0, 1) and N(d, 1) it is the normal distribution function at d - 1.2815516 (SciPy: norm.cdf).
  it.each([
    { positives: 22, negatives: 15, distance: 0.8, truth: 0.3150601 },
    { positives: 22, negatives: 15, distance: 1.4, truth: 0.5471407 },
    { positives: 60, negatives: 88, distance: 2.2, truth: 0.8207821 },
  ])(
    "lies in its interval in 93 to 97 % of studies ($positives positives, $negatives negatives)",
    ({ positives, negatives, distance, truth }) => {
      const random = randomStream(2, "specificity", positives, distance);
      const studies = 300;
      let held = 0;
      for (let seed = 0; seed < studies; seed++) {
        const cases = drawn(random, positives, negatives, distance);
        const { low, high } = specificityInterval(cases, { seed, resamples: 200 });
        if ((low as number) <= truth && truth <= (high as number)) held++;
      }
      const error = 3 * Math.sqrt((0.95 * 0.05) / studies); // of the share itself
      expect(held / studies).toBeGreaterThan(0.93 - error);
      expect(held / studies).toBeLessThan(Math.min(1, 0.97 + error));
    },
    120_000,
  );

  it("says almost nothing below 20 positives or negatives, and says so", () => {
    const few = specificityInterval(drawn(randomStream(1, "few"), 22, 15, 1));
    expect(few.note).toBe("22 positive and 15 negative patients: below 20 of either it says almost nothing");
    expect(few).toMatchObject({ method: "stratified bootstrap", unit: "patient", n: 37 });
    expect(specificityInterval(drawn(randomStream(1, "enough"), 22, 20, 1)).note).toBeNull();
  });

  it("has no interval where one patient alone is positive", () => {
    const cases = drawn(randomStream(1, "one"), 1, 15, 1);
    expect(specificityInterval(cases)).toMatchObject({ low: null, high: null, se: null });
  });

  it("is 0 apart, surely, of a model and itself, and the same for the same seed", () => {
    const { labels, scores } = drawn(randomStream(1, "itself"), 30, 30, 1);
    const same = specificityDifference({ labels, first: [scores, scores], second: [scores, scores] });
    expect(same).toMatchObject({ estimate: 0, low: 0, high: 0, se: 0 });
    const other = scores.map((score, i) => score + Math.sin(i));
    const options = { seed: 3, resamples: 300 };
    const difference = () => specificityDifference({ labels, first: [scores], second: [other] }, options);
    expect(difference()).toEqual(difference());
    expect(difference().note).toContain("one seed");
  });

  it("of two equal models differs from 0 in no more studies than an interval misses, three seeds each", () => {
    const random = randomStream(4, "equal models");
    const studies = 150;
    let missed = 0;
    for (let seed = 0; seed < studies; seed++) {
      const { labels, scores } = drawn(random, 60, 60, 1.4);
      const model = () => [0, 1, 2].map(() => scores.map((score) => score + random.normal(0, 0.7)));
      const { low, high } = specificityDifference(
        { labels, first: model(), second: model() },
        { seed, resamples: 200 },
      );
      if ((low as number) > 0 || (high as number) < 0) missed++;
    }
    expect(missed / studies).toBeLessThan(0.05 + 3 * Math.sqrt((0.05 * 0.95) / studies));
  }, 120_000);

  it("refuses what are no cases of two kinds, and lists of different lengths", () => {
    expect(() => specificityInterval({ labels: [true, true], scores: [1, 2] })).toThrow(
      "positive and one negative",
    );
    expect(() => specificityInterval({ labels: [true, false], scores: [1] })).toThrow("received 1");
    expect(() => specificityDifference({ labels: [true, false], first: [[1, 2]], second: [] })).toThrow(
      "cases.second",
    );
  });
});

describe("kappa", () => {
  it("has an interval that holds it, narrower for more patients", () => {
    const random = randomStream(6, "kappa");
    const width = (n: number) => {
      const truth = Array.from({ length: n }, () => random.integer(0, 3));
      const predicted = truth.map((one) => (random.uniform() < 0.6 ? one : random.integer(0, 3)));
      const { estimate, low, high } = kappaInterval({ truth, predicted }, 4) as {
        estimate: number;
        low: number;
        high: number;
      };
      expect(low).toBeLessThan(estimate);
      expect(high).toBeGreaterThan(estimate);
      return high - low;
    };
    expect(width(400)).toBeLessThan(0.5 * width(40));
    expect(kappaInterval({ truth: [1, 1], predicted: [1, 1] }, 4)).toBeNull();
  });
});
