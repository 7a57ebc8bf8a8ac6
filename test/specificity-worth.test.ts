import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import type { CellResult } from "../dist/results/cell.js";
import type { LearningCurve } from "../dist/results/learning-curves.js";
import { specificityInterval } from "../dist/statistics/classification-intervals.js";
import { computeLearningCurves } from "../dist/statistics/learning-curves.js";
import { specificityAtSensitivity } from "../dist/tasks/metrics.js";

const levels = [25, 50, 100, 200, 400];
const metric = "Specificity at sensitivity 0.9";

interface Planted {
  worth: number;
  seeds: number;
  /** Of each kind. */
  patients: number;
  noise?: number;
}

/** How far apart the scores of positive and negative patients lie after training on so many patients. */
const distance = (patients: number) => 0.5 + 0.35 * Math.log(patients / 25);

/** Fine-tuning on n patients tells them apart as training from scratch on n + worth does. */
function cellsOf({ worth, seeds, patients, noise = 0.3 }: Planted, study = 0): CellResult[] {
  const { normal } = randomStream(41, "specificity curves", study);
  const own = Array.from({ length: 2 * patients }, () => normal());
  const cells: CellResult[] = [];
  for (const comparator of ["fine-tuned", "from-scratch"] as const)
    for (const trained of levels)
      for (let seed = 1; seed <= seeds; seed++) {
        const apart = distance(trained + (comparator === "fine-tuned" ? worth : 0)) + 0.1 * normal();
        const cases = own.map((value, i) => ({
          ...{ case: `${i}`, patient: `${i}`, positive: i < patients },
          value: value + noise * normal() + (i < patients ? apart : 0),
        }));
        const labels = cases.map(({ positive }) => positive);
        const mean = specificityAtSensitivity(
          labels,
          cases.map(({ value }) => value),
          0.9,
        );
        cells.push({
          id: `${comparator} ${trained} ${seed}`,
          ...{ task: "pirads-classification", strategy: "direct", model: "ProFound", comparator, seed },
          network: { architecture: "simulated", parameters: 0, trainable: 0 },
          trainedOn: { patients: trained, cases: trained, asked: trained === 400 ? null : trained },
          metric: { name: metric, mean, standardDeviation: null, cases, secondary: {} },
          ...{ curve: [], bestEpoch: null },
          cost: {
            ...{ wallSeconds: 1, deviceSeconds: 1, peakMemoryBytes: 0, epochSeconds: [], epochEmbedded: [] },
            ...{ device: "cpu", threads: 1 },
          },
        });
      }
  return cells;
}

function curveOf(cells: readonly CellResult[]): LearningCurve {
  const isPart = ({ trainedOn }: CellResult) => trainedOn?.asked !== null;
  const [curve] = computeLearningCurves(
    cells.filter((cell) => !isPart(cell)),
    cells.filter(isPart),
  );
  return curve as LearningCurve;
}

const worthOf = (planted: Planted, study?: number) =>
  curveOf(cellsOf(planted, study)).worth as NonNullable<LearningCurve["worth"]>;

describe("what pretraining is worth in specificity", () => {
  it("has an interval over patients and seeds that holds the planted worth, narrower for more patients", () => {
    const width = (patients: number) => {
      const { interval, most } = worthOf({ worth: 150, seeds: 3, patients }, 1);
      const { low, high } = interval ?? { low: Number.NaN, high: Number.NaN };
      expect(low ?? -most).toBeLessThan(150);
      expect(high ?? most).toBeGreaterThan(150);
      return (high ?? most) - (low ?? -most);
    };
    expect(width(300)).toBeLessThan(width(60));
  }, 120_000);

  it("leaves out no worth at all exactly where the difference of both on all patients differs from 0", () => {
    const none = worthOf({ worth: 0, seeds: 3, patients: 60 });
    expect(none.interval?.low ?? -Infinity).toBeLessThan(0);
    expect(none.interval?.high ?? Infinity).toBeGreaterThan(0);
    const clear = worthOf({ worth: 2000, seeds: 3, patients: 150 });
    expect(clear.interval?.low as number).toBeGreaterThan(0);
    expect(clear.words).toMatch(/^Pretraining is worth more than 375 patients \(95 % interval /);
  }, 120_000);

  it("is undecided with two seeds, and says in words why and what was measured", () => {
    const { interval, words } = worthOf({ worth: 150, seeds: 2, patients: 60 });
    expect(interval).toBeNull();
    expect(words).toMatch(
      /^How many patients pretraining is worth is undecided: Specificity at sensitivity 0\.9 is one number for the whole test set, to which only 3 seeds or more .* give an interval\. As measured it is -?.*patients: /,
    );
  });

  it("stands beside points with intervals of their own over patients and seeds", () => {
    const cells = cellsOf({ worth: 150, seeds: 3, patients: 60 });
    const { points } = curveOf(cells);
    expect(points).toHaveLength(10);
    for (const { comparator, patients, mean, low, high } of points) {
      const own = cells.filter(
        (cell) => cell.comparator === comparator && cell.trainedOn?.patients === patients,
      );
      const [first] = own as [CellResult];
      const { cases } = first.metric;
      const labels = cases.map(({ positive }) => positive as boolean);
      const one = specificityInterval({ labels, scores: cases.map(({ value }) => value as number) });
      expect((high as number) - (low as number)).toBeGreaterThan(2 * (one.se as number));
      expect(low as number).toBeLessThan(mean);
      expect(high as number).toBeGreaterThan(mean);
    }
  }, 120_000);
});
