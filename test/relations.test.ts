import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { paperTasks, type TaskName } from "../dist/common/vocabulary.js";
import type { CellResult } from "../dist/results/cell.js";
import type { Distance } from "../dist/results/distances.js";
import type { Relation } from "../dist/results/relations.js";
import type { CellSummary } from "../dist/results/study.js";
import { computeClaims } from "../dist/statistics/claims.js";
import { computeRelations } from "../dist/statistics/relations.js";
import { definitionOf, ownStrategy, taskKinds, variantName } from "../dist/tasks/index.js";
import { studyResults } from "./report-fixture.js";

interface Planted {
  seeds: number;
  patients: number;
  /** Of the metric, from one training to the next and from case to case. */
  runNoise: number;
  caseNoise: number;
  /** Of a distance, from one training to the next. */
  distanceNoise: number;
  /** Of what single cases add to a distance; default 0. */
  shareNoise?: number;
}

const gains = [0.02, 0.05, 0.08, 0.11, 0.14];
const moved = [0.2, 0.3, 0.5, 0.6, 0.9];

/** A study of one model whose five tasks have these gains over the random weights, and these D2R, but for noise. */
function study({ seeds, patients, runNoise, caseNoise, distanceNoise, shareNoise = 0 }: Planted, draw = 0) {
  const random = randomStream(draw, "planted");
  const template = studyResults();
  const [cell] = template.cells.flatMap(({ result }) => result ?? []) as [CellResult];
  const [example] = template.distances as [Distance];
  const cells: CellSummary[] = [];
  const distances: Distance[] = [];
  for (const [index, task] of paperTasks.entries()) {
    const of = { task, strategy: ownStrategy(task), model: "m" };
    for (let seed = 1; seed <= seeds; seed++) {
      for (const comparator of ["fine-tuned", "random-weights"] as const) {
        const run = random.normal(0, runNoise);
        const gain = comparator === "fine-tuned" ? (gains[index] as number) : 0;
        const cases = Array.from({ length: patients }, (_, i) => ({
          case: `p${i}`,
          patient: `p${i}`,
          value: 0.5 + gain + run + random.normal(0, caseNoise),
        }));
        const mean = cases.reduce((sum, { value }) => sum + value, 0) / patients;
        const id = `${task}-${comparator}-${seed}`;
        const metric = { name: "SSIM", mean, standardDeviation: 0, cases, secondary: {} };
        const result: CellResult = { ...cell, ...of, id, comparator, seed, metric };
        cells.push({ ...of, id, comparator, seed, status: "done", result });
      }
      const shares = Array.from({ length: shareNoise === 0 ? 1 : patients }, () =>
        shareNoise === 0 ? 0 : random.normal(0, shareNoise),
      );
      const mean = shares.reduce((sum, value) => sum + value, 0) / shares.length;
      // A mean over pairs moves by both of a pair.
      const biased = (moved[index] as number) + 2 * mean + random.normal(0, distanceNoise);
      distances.push({
        ...{ ...example, ...of, seed, name: "D2R", paper: { ...example.paper, biased } },
        ...(shareNoise === 0 ? {} : { shares: shares.map((value) => biased + value - mean) }),
      } as Distance);
    }
  }
  const claims = computeClaims(cells.flatMap(({ result }) => result ?? []));
  return { cells, distances, claims };
}

const still = { seeds: 3, patients: 12, runNoise: 0, caseNoise: 0, distanceNoise: 0 };

/** The one relation there is: D2R against the gain over random weights. */
const only = (planted: Planted, draw = 0): Relation => {
  const relations = computeRelations(study(planted, draw), { resamples: 400 });
  expect(relations.map(({ reference, distance }) => [reference, distance])).toEqual([
    ["random-weights", "D2R"],
  ]);
  return relations[0] as Relation;
};

describe("the relation of gains with distances, as results hold it", () => {
  it("is that of its points by the definition, with what one task does to it and what five tasks can find", () => {
    const { points, ...relation } = only(still);
    expect(points.map(({ percent }) => Math.round(percent * 1e6) / 1e6)).toEqual([4, 10, 16, 22, 28]);
    expect(points.map(({ distance }) => distance)).toEqual(moved.map((value) => expect.closeTo(value, 12)));
    expect(relation).toMatchObject({ n: 5, method: "exact permutation", verdict: "undetermined" });
    const x = points.map(({ distance }) => distance);
    const y = points.map(({ percent }) => percent);
    expect(relation.r).toBeCloseTo(correlation(x, y), 12);
    const without = x.map((_, left) =>
      correlation(
        x.filter((__, i) => i !== left),
        y.filter((__, i) => i !== left),
      ),
    );
    expect(relation.leaveOneOut?.low).toBeCloseTo(Math.min(...without), 12);
    expect(relation.leaveOneOut?.high).toBeCloseTo(Math.max(...without), 12);
    const z = Math.atanh(correlation(x, y));
    expect(relation.interval?.low).toBeCloseTo(Math.tanh(z - 1.959963984540054 / Math.SQRT2), 9);
    // Both rise throughout: only the order itself and its mirror image reach |r|, of 5! orders.
    expect(relation.p).toBeCloseTo(orders(x, y), 12);
    expect(relation.critical).toBeCloseTo(0.8783394, 6); // scipy.stats.t.ppf(0.975, 3) / sqrt(3 + t²)
    expect(relation.detectable as number).toBeGreaterThan(relation.critical as number);
  });

  it("is undetermined however close to 1 it is, for there are fewer than eight tasks", () => {
    const { verdict, reason, p } = only(still);
    expect(p as number).toBeLessThan(0.05);
    expect([verdict, reason]).toEqual(["undetermined", "undecided: under 8 tasks"]);
  });

  it("does not move where neither patients nor seeds differ", () => {
    const { r, resampled } = only(still);
    expect(resampled).toMatchObject({ resamples: 400, seeds: 3, patients: 12 });
    expect(resampled?.low).toBeCloseTo(r as number, 9);
    expect(resampled?.high).toBeCloseTo(r as number, 9);
  });

  it.each([
    ["patients", { caseNoise: 0.1 }],
    ["trainings, in the gains", { runNoise: 0.03 }],
    ["trainings, in the distances", { distanceNoise: 0.15 }],
    ["patients, in the distances", { shareNoise: 0.3 }],
  ])("moves with the noise of %s, and more with more of it", (_, noise) => {
    const width = (factor: number) => {
      const scaled = Object.fromEntries(Object.entries(noise).map(([key, value]) => [key, factor * value]));
      const { resampled } = only({ ...still, seeds: 4, ...scaled }, 5);
      return (resampled?.high ?? 0) - (resampled?.low ?? 0);
    };
    const [little, much] = [width(0.2), width(1)];
    expect(little).toBeGreaterThan(0.0005);
    expect(much).toBeGreaterThan(2 * little);
  });

  it("with one seed holds the noise of patients alone, and says so", () => {
    const { resampled } = only({ ...still, seeds: 1, runNoise: 0.05, distanceNoise: 0.2 });
    expect(resampled).toMatchObject({ seeds: 1 });
    expect((resampled?.high as number) - (resampled?.low as number)).toBeLessThan(1e-9);
  });

  it("holds the true r of most studies, though noise brings their own towards 0", () => {
    const noise = {
      seeds: 5,
      patients: 30,
      runNoise: 0.02,
      caseNoise: 0.08,
      distanceNoise: 0.08,
      shareNoise: 0.3,
    };
    const truth = correlation(gains, moved);
    let [held, lower, width] = [0, 0, 0];
    const studies = 40;
    for (let draw = 0; draw < studies; draw++) {
      const [relation] = computeRelations(study(noise, 100 + draw), { resamples: 150 }) as [Relation];
      const { low, high } = relation.resampled as { low: number; high: number };
      if (low <= truth && truth <= high) held++;
      if ((relation.r as number) < truth) lower++;
      width += (high - low) / studies;
    }
    expect(lower).toBeGreaterThan(0.8 * studies);
    expect(held).toBeGreaterThan(0.75 * studies);
    expect(width).toBeLessThan(1);
  }, 120_000);

  it("is the same for the same results, and leaves out nothing where no draws are asked for", () => {
    const noise = { ...still, caseNoise: 0.1 };
    expect(only(noise)).toEqual(only(noise));
    const { resampled: _, ...rest } = only(noise);
    expect(computeRelations(study(noise))).toEqual([rest]);
  });

  it("counts a task once: by diffusion too, it is a point beside", () => {
    const source = study(still);
    const second = <Item extends { task: TaskName; strategy: string }>(items: readonly Item[]): Item[] =>
      items
        .filter(({ task }) => task === "super-resolution")
        .map((one) => ({ ...one, strategy: "diffusion" }));
    const cells = [
      ...source.cells,
      ...second(source.cells).map((cell) => ({
        ...cell,
        result: { ...(cell.result as CellResult), strategy: "diffusion" as const },
      })),
    ];
    const distances = [...source.distances, ...second(source.distances)];
    const claims = computeClaims(cells.flatMap(({ result }) => result ?? []));
    const [relation] = computeRelations({ cells, distances, claims }, { resamples: 50 }) as [Relation];
    expect(relation.points.map(({ counts }) => counts).filter(Boolean)).toHaveLength(5);
    expect(relation.points).toHaveLength(6);
    expect(relation.n).toBe(5);
    expect(relation.overAllPoints).toBeCloseTo(
      correlation(
        relation.points.map(({ distance }) => distance),
        relation.points.map(({ percent }) => percent),
      ),
      12,
    );
  });
});

/** By the definition. */
function correlation(x: readonly number[], y: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  const sum = (of: (i: number) => number) => x.reduce((total, _, i) => total + of(i), 0);
  const dx = (i: number) => (x[i] as number) - mx;
  const dy = (i: number) => (y[i] as number) - my;
  return sum((i) => dx(i) * dy(i)) / Math.sqrt(sum((i) => dx(i) ** 2) * sum((i) => dy(i) ** 2));
}

/** The share of orders of y whose |r| is as large. */
function orders(x: readonly number[], y: readonly number[]): number {
  const all = (items: readonly number[]): number[][] =>
    items.length === 0
      ? [[]]
      : items.flatMap((item, i) => all(items.filter((_, j) => j !== i)).map((rest) => [item, ...rest]));
  const given = Math.abs(correlation(x, y)) - 1e-12;
  const orders = all(y);
  return orders.filter((order) => Math.abs(correlation(x, order)) >= given).length / orders.length;
}

describe("a task's own strategy", () => {
  it("is what its kind declares, and a task of a study's own name is learnt straight", () => {
    for (const kind of taskKinds) expect(ownStrategy(kind)).toBe(definitionOf(kind).ownStrategy ?? "direct");
    expect(taskKinds.filter((kind) => ownStrategy(kind) === "diffusion")).toEqual(["modality-translation"]);
    expect(ownStrategy("my-own-task")).toBe("direct");
    expect(variantName({ task: "modality-translation", strategy: "diffusion" })).toBe("modality-translation");
    expect(variantName({ task: "my-own-task", strategy: "diffusion" })).toBe("my-own-task by diffusion");
  });
});
