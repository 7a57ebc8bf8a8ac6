import { describe, expect, it } from "vitest";
import type { CellResult } from "../dist/results/cell.js";
import type { Score } from "../dist/results/scores.js";
import { type StudyResults, studyResultsSchema } from "../dist/results/study.js";
import { convergence } from "../dist/statistics/scores.js";
import { summariseResults } from "../dist/statistics/study-summary.js";
import { studyResults } from "./report-fixture.js";

/** The results of three seeds, whose fine-tuned cells on segmentation score what is given, a row a seed. */
function withValues(rows: (number | null)[][]): StudyResults {
  const results = studyResults({ seeds: [1, 2, 3], testCases: rows[0]?.length ?? 0 });
  const cells = results.cells.map((cell) => {
    if (!cell.result || cell.comparator !== "fine-tuned" || cell.task !== "lesion-segmentation") return cell;
    const values = rows[cell.seed - 1] ?? [];
    const known = values.filter((value) => value !== null);
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
    const cases = cell.result.metric.cases.map((one, index) => ({ ...one, value: values[index] ?? null }));
    return { ...cell, result: { ...cell.result, metric: { ...cell.result.metric, mean, cases } } };
  });
  return { ...results, cells };
}

const scoreOf = (results: StudyResults, comparator: Score["comparator"] = "fine-tuned"): Score =>
  summariseResults(results).scores.find(
    (one) => one.comparator === comparator && one.task === "lesion-segmentation",
  ) as Score;

describe("a score over seeds and test cases", () => {
  // Worked out by hand: cases' means over seeds are 0.4, 0.5 and 0.9; seeds' means are 0.5, 0.6 and 0.7.
  const score = scoreOf(
    withValues([
      [0.3, 0.4, 0.8],
      [0.4, 0.5, 0.9],
      [0.5, 0.6, 1],
    ]),
  );

  it("has the mean of the seeds' means, and how far they and the cases spread", () => {
    expect(score.seeds).toEqual([1, 2, 3]);
    expect(score.mean).toBeCloseTo(0.6, 12);
    expect(score.seedDeviation).toBeCloseTo(0.1, 12);
    expect(score.caseDeviation).toBeCloseTo(Math.sqrt(0.07), 12); // (0.04 + 0.01 + 0.09) / 2
  });

  it("has the median, the lowest and the highest case, each averaged over seeds", () => {
    expect(score.cases.map(({ value }) => value)).toEqual(
      [0.4, 0.5, 0.9].map((value) => expect.closeTo(value, 12)),
    );
    expect([score.median, score.lowest, score.highest]).toEqual(
      [0.5, 0.4, 0.9].map((value) => expect.closeTo(value, 12)),
    );
  });

  it("passes over what a seed has no value of, and counts the cases that are left", () => {
    const one = scoreOf(
      withValues([
        [0.3, null, 0.8],
        [null, null, 0.9],
        [0.5, null, 1],
      ]),
    );
    expect(one.testCases).toBe(2);
    expect(one.cases.map(({ value }) => value)).toEqual([0.4, 0.9].map((value) => expect.closeTo(value, 12)));
  });

  it("is one for all foundation models where they share the comparator, and none where nothing is done", () => {
    const results = studyResults({
      models: ["one", "two"],
      status: ({ comparator }) => (comparator === "pretrained" ? "failed" : "done"),
    });
    const { scores } = summariseResults(results);
    const of = (comparator: string) => scores.filter((one) => one.comparator === comparator).length;
    expect([of("specialised"), of("fine-tuned"), of("pretrained")]).toEqual([2, 4, 0]);
  });

  it("gives the device time of fine-tuning as a multiple of that from scratch", () => {
    const results = studyResults();
    for (const { comparator, result } of results.cells)
      if (result) result.cost = { ...result.cost, deviceSeconds: comparator === "fine-tuned" ? 30 : 120 };
    expect(scoreOf(results).cost.overFromScratch).toBe(0.25);
    expect(scoreOf(results, "from-scratch").cost.overFromScratch).toBeNull();
  });

  it("stands in results.json as it was computed", () => {
    const results = JSON.parse(JSON.stringify(summariseResults(studyResults({ seeds: [1, 2] }))));
    expect(studyResultsSchema.parse(results)).toEqual(results);
  });
});

describe("convergence", () => {
  const result = (metrics: (number | null)[]): CellResult => {
    const [cell] = studyResults().cells.flatMap((one) => one.result ?? []);
    const { cost, ...one } = cell as CellResult;
    const curve = metrics.map((validationMetric, index) => ({
      ...{ epoch: index + 1, learningRate: 1e-4, trainingLoss: 1, validationMetric },
    }));
    return { ...one, curve, cost: { ...cost, epochSeconds: metrics.map(() => 2) } };
  };
  const of = (best: number, epoch: number, seconds: number) => ({ seed: 7, best, epoch, cost: { seconds } });

  it("is the first epoch within 1 % of the best, and the seconds until it was done", () => {
    expect(convergence(result([0.5, 0.79, 0.793, 0.8, 0.75]), true)).toEqual(of(0.8, 3, 6));
    expect(convergence(result([0.5, 0.4, 0.402]), false)).toEqual(of(0.4, 2, 4));
  });

  it("passes over epochs that were not validated", () => {
    expect(convergence(result([null, 0.7, null]), true)).toEqual(of(0.7, 2, 4));
    expect(convergence(result([null]), true)).toBeNull();
  });
});
