import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { writeReport } from "../dist/index.js";
import type { CellResult } from "../dist/results/cell.js";
import { studyResultsSchema } from "../dist/results/study.js";
import {
  aucInterval,
  kappaInterval,
  specificityInterval,
} from "../dist/statistics/classification-intervals.js";
import { computeIntervals } from "../dist/statistics/metric-intervals.js";
import {
  auc,
  confusionMatrix,
  quadraticWeightedKappa,
  specificityAtSensitivity,
} from "../dist/tasks/metrics.js";
import { studyResults, temporaryFolder, writeStudyFolder } from "./report-fixture.js";

const [template] = studyResults().cells.flatMap(({ result }) => result ?? []) as [CellResult];

/** A cell that classified as many patients, its scores further apart by `shift` than chance. */
function classified(seed: number, patients: number, { shift = 1, draw = 0 } = {}): CellResult {
  const ofPatients = randomStream(draw, "patients");
  const random = randomStream(draw, "scores", seed);
  const cases = Array.from({ length: patients }, (_, i) => {
    const truth = ofPatients.integer(0, 3);
    const lean = ofPatients.normal();
    const score = 1 / (1 + Math.exp(-(shift * (truth - 1.5) + lean + random.normal())));
    return {
      ...{ case: `p${i}`, patient: `p${i}`, value: score, truth, positive: truth >= 1 },
      predicted: Math.min(3, Math.max(0, Math.round(4 * score - 0.5))),
    };
  });
  const labels = cases.map(({ positive }) => positive);
  const scores = cases.map(({ value }) => value);
  const [truth, predicted] = [cases.map((one) => one.truth), cases.map((one) => one.predicted)];
  return {
    ...template,
    ...{ id: `c${seed}`, task: "pirads-classification", strategy: "direct", model: "m", seed },
    comparator: "fine-tuned",
    metric: {
      name: "Specificity at sensitivity 0.9",
      mean: specificityAtSensitivity(labels, scores, 0.9),
      standardDeviation: null,
      cases,
      secondary: {
        AUC: auc(labels, scores),
        "Quadratic weighted kappa": quadraticWeightedKappa(truth, predicted, 4),
      },
      confusion: confusionMatrix(truth, predicted, 4),
    },
  };
}

const listsOf = ({ metric: { cases } }: CellResult) => ({
  labels: cases.map(({ positive }) => positive === true),
  scores: cases.map(({ value }) => value as number),
  patients: cases.map(({ patient }) => patient as string),
});

describe("intervals of what a classified test set scores", () => {
  it("are those of the functions for one seed, and say that trainings are not in them", () => {
    const cell = classified(1, 148);
    const lists = listsOf(cell);
    const own = computeIntervals([cell]);
    const expected = [
      specificityInterval(lists, { sensitivity: 0.9 }),
      aucInterval(lists),
      kappaInterval(
        {
          truth: cell.metric.cases.map(({ truth }) => truth as number),
          predicted: cell.metric.cases.map(({ predicted }) => predicted as number),
          patients: lists.patients,
        },
        4,
      ),
    ];
    expect(own.map(({ metric }) => metric)).toEqual([
      "Specificity at sensitivity 0.9",
      "AUC",
      "Quadratic weighted kappa",
    ]);
    for (const [index, one] of expected.entries()) {
      const {
        estimate,
        low,
        high,
        se: standardError,
        method,
        unit,
        n: patients,
      } = one as NonNullable<typeof one>;
      expect(own[index]).toMatchObject({
        estimate,
        low,
        high,
        standardError,
        method,
        unit,
        patients,
        seeds: 1,
      });
      expect(own[index]?.note).toContain("one seed");
    }
  });

  it("of several seeds are about their mean, with the patients' variance and the seeds', by Student's t", () => {
    const cells = [1, 2, 3].map((seed) => classified(seed, 148));
    const found = computeIntervals(cells).find(({ metric }) => metric === "AUC");
    const each = cells.map((cell) => aucInterval(listsOf(cell)));
    const mean = each.reduce((sum, { estimate }) => sum + estimate, 0) / 3;
    const ofPatients = each.reduce((sum, { se }) => sum + (se as number) ** 2, 0) / 3;
    const ofSeeds = each.reduce((sum, { estimate }) => sum + (estimate - mean) ** 2, 0) / 2 / 3;
    expect(found?.estimate).toBeCloseTo(mean, 12);
    expect(found?.standardError).toBeCloseTo(Math.sqrt(ofPatients + ofSeeds), 12);
    const errors = ((found?.high as number) - mean) / (found?.standardError as number);
    expect(errors).toBeGreaterThanOrEqual(1.9599);
    expect(errors).toBeLessThan(4.31); // of two degrees of freedom, were there no patients
  });

  it.each([1, 3])("of an AUC from %i seeds hold the true value in about 95 % of 300 draws", (seeds) => {
    const truth = meanAuc();
    let held = 0;
    for (let draw = 1; draw <= 300; draw++) {
      const cells = Array.from({ length: seeds }, (_, seed) => classified(seed, 80, { draw }));
      const one = computeIntervals(cells, { resamples: 2 }).find(({ metric }) => metric === "AUC");
      if ((one?.low as number) <= truth && truth <= (one?.high as number)) held++;
    }
    expect(held / 300).toBeGreaterThan(0.91); // 0.95 less three standard errors
  });

  it("are missing where a case has no label, and where all are positive", () => {
    const cell = classified(1, 20);
    const { cases } = cell.metric;
    const unlabelled = cases.map(({ positive: _, ...one }) => one);
    expect(computeIntervals([{ ...cell, metric: { ...cell.metric, cases: unlabelled } }])).toEqual([]);
    const positive = cases.map((one) => ({ ...one, positive: true }));
    expect(computeIntervals([{ ...cell, metric: { ...cell.metric, cases: positive } }])).toEqual([]);
  });

  it("stand in the report, each with its method and unit", async () => {
    const base = studyResults();
    const cell = classified(7, 60);
    const { id, task, strategy, model, comparator, seed } = cell;
    const cells = [
      ...base.cells,
      { id, task, strategy, model, comparator, seed, status: "done", result: cell },
    ];
    const results = studyResultsSchema.parse({ ...base, cells, intervals: computeIntervals([cell]) });
    const { folder, remove } = await temporaryFolder();
    await writeStudyFolder(folder);
    await writeFile(join(folder, "results.json"), JSON.stringify(results));
    const page = await readFile(await writeReport(folder), "utf8");
    expect(page).toContain("how sure metrics of the whole test set are");
    for (const words of ["stratified bootstrap, by patient", "DeLong, by patient", "bootstrap, by patient"])
      expect(page).toContain(words);
    const csv = await readFile(join(folder, "tables", "intervals-pirads-classification.csv"), "utf8");
    expect(csv.split("\n")).toHaveLength(5);
    expect(csv).toContain(String(results.intervals?.[1]?.low));
    await remove();
  });
});

/** Over many patients. */
function meanAuc(): number {
  const lists = Array.from({ length: 4 }, (_, seed) => listsOf(classified(seed, 4_000, { draw: 12_345 })));
  return lists.reduce((sum, { labels, scores }) => sum + auc(labels, scores), 0) / lists.length;
}
