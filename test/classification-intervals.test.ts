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
import { crossedPair } from "../dist/statistics/crossed.js";
import { setSpread } from "../dist/statistics/set-difference.js";

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

  it.each([
    { seeds: 3, trainings: 1, most: 1 },
    { seeds: 10, trainings: 1, most: 0.97 },
    { seeds: 3, trainings: 0, most: 1 }, // two degrees of freedom, and seeds that might have differed: wide
  ])(
    "of two equal models holds 0 in 93 to 97 % of studies, $seeds seeds whose distance scatters by $trainings",
    ({ seeds, trainings, most }) => {
      const random = randomStream(4, "equal models", seeds, trainings);
      const studies = 150;
      let held = 0;
      for (let seed = 0; seed < studies; seed++) {
        const { labels, scores } = drawn(random, 60, 60, 1.4);
        const model = () =>
          Array.from({ length: seeds }, () => {
            const further = random.normal(0, trainings);
            return scores.map((score, i) => score + random.normal(0, 0.7) + (labels[i] ? further : 0));
          });
        const { low, high } = specificityDifference(
          { labels, first: model(), second: model() },
          { seed, resamples: 100 },
        );
        if ((low as number) <= 0 && 0 <= (high as number)) held++;
      }
      const error = 3 * Math.sqrt((0.95 * 0.05) / studies);
      expect(held / studies).toBeGreaterThan(0.93 - error);
      expect(held / studies).toBeLessThanOrEqual(most + (most < 1 ? error : 0));
    },
    120_000,
  );

  it("varies over seeds and patients as in a crossed table, where each patient adds what he has to the whole", () => {
    // A mean over patients stands in for the metric: its crossed variances are known in closed form.
    const { normal, integer } = randomStream(5, "crossed");
    const [seeds, patients, draws] = [4, 30, 4_000];
    const ofPatient = Array.from({ length: patients }, () => normal());
    const table = Array.from({ length: seeds }, () => {
      const run = normal(0, 0.5);
      return ofPatient.map((value) => value + run + normal(0, 0.8));
    });
    const everybody = Array.from({ length: patients }, (_, i) => i);
    const meansOf = (drawn: readonly number[]) =>
      table.map((row) => drawn.reduce((sum, i) => sum + (row[i] as number), 0) / patients);
    const spread = setSpread(
      meansOf(everybody),
      Array.from({ length: draws }, () => meansOf(everybody.map(() => integer(0, patients - 1)))),
      patients,
    );
    const none = table.map((row) => row.map(() => 0));
    const { bySeed, byPatient, rest } = crossedPair(table, none);
    const cells = seeds * patients;
    const share = (patients - 1) / patients; // of which a bootstrap's variance falls short
    expect(spread?.seeds).toEqual({
      value: expect.closeTo((bySeed?.first as number) / cells, 10),
      degrees: seeds - 1,
    });
    expect((spread?.patients.value as number) / (((byPatient?.first as number) * share) / cells)).toBeCloseTo(
      1,
      1,
    );
    expect((spread?.rest.value as number) / (((rest?.first as number) * share) / cells)).toBeCloseTo(1, 1);
  });

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
