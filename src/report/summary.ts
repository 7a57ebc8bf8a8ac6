import { groupBy } from "../common/group-by.js";
import {
  type Comparator,
  comparators,
  isShared,
  type SharedComparator,
  type TaskKind,
  type TaskVariant,
} from "../common/vocabulary.js";
import type { CellResult } from "../results/cell.js";
import { type Claim, type GainReference, gainReferences } from "../results/claims.js";
import { type Distance, type DistanceName, distanceNames } from "../results/distances.js";
import type { Finding } from "../results/findings.js";
import type { MetricInterval } from "../results/intervals.js";
import type { Relation } from "../results/relations.js";
import type { CellSummary, StudyResults } from "../results/study.js";
import { resultsOf } from "../statistics/cells.js";
import { computeClaims, hardlyAnything } from "../statistics/claims.js";
import { computeFindings } from "../statistics/findings.js";
import { type MeanDistance, meanDistance } from "../statistics/mean-distance.js";
import { average, deviation, largest, smallest } from "../statistics/means.js";
import { computeRelations } from "../statistics/relations.js";
import { countsFor, variantsOf } from "../statistics/variants.js";
import { fixed } from "./format.js";
import { higherIsBetter } from "./labels.js";
import { limits } from "./limits.js";

/** A test metric over cases and seeds. */
export interface Score {
  /** Mean over seeds of the mean over cases; null where the test set leaves the metric undefined. */
  mean: number | null;
  /** Why it does, said of the test set; null where it does not. */
  reason: string | null;
  /** Standard deviation over cases, each averaged over the seeds first; null for fewer than two cases. */
  caseDeviation: number | null;
  /** Standard deviation over the seeds' means; null for one seed. */
  seedDeviation: number | null;
  /** Each case's value, averaged over seeds; none where the metric is one of the whole set. */
  cases: ReadonlyMap<string, number>;
  /** Cases that the metric rests on: those that have a value, or the whole set where it is one of the set. */
  testCases: number;
  secondary: ReadonlyMap<string, number | null>;
  /** `confusion[true class][answered class]`: cases, summed over seeds. */
  confusion: number[][] | null;
  seeds: number[];
}

/** One comparator of a task and a model: what became of its cells, one a seed. */
export interface Entry {
  comparator: Comparator;
  cells: CellSummary[];
  /** `absent` where the plan has no such cell. With several seeds, the worst of them. */
  status: "done" | "failed" | "pending" | "absent";
  score: Score | null;
}

/** A distance over seeds. */
export interface RowDistance extends MeanDistance {
  name: DistanceName;
  bySeed: Distance[];
}

/** A task, learnt by a strategy, under a foundation model: a row of the report's main table. */
export interface TaskRow extends TaskVariant {
  model: string;
  /**
   * Whether the task counts by this row, where tasks are counted or correlated over: it does once, by its own strategy
   * where the study has that, for two rows of one task say much the same.
   */
  counts: boolean;
  metric: string | null;
  higherIsBetter: boolean;
  entries: Record<Comparator, Entry>;
  /** What may be said of the fine-tuned model beside each reference. */
  claims: Partial<Record<GainReference, Claim>>;
  distances: Partial<Record<DistanceName, RowDistance>>;
  /** The mean to be marked as best among the comparators; null where none is better than the others. */
  best: number | null;
}

/** The numbers of a cohort, and which tasks take it; null where all do. */
export type CohortInUse = Omit<StudyResults["cohort"], "excluded" | "masks" | "tasks"> & {
  tasks: TaskKind[] | null;
};

export interface Summary {
  models: string[];
  /** In the order of the paper; a task that is learnt in two ways stands here twice. */
  tasks: TaskVariant[];
  seeds: number[];
  rows: TaskRow[];
  cohorts: CohortInUse[];
  /** What makes numbers say less than they seem to, each once. */
  findings: Finding[];
  /** How sure metrics of whole test sets are. */
  intervals: MetricInterval[];
  /** Whether gains go with distances. */
  relations: Relation[];
}

/** What the first screen and the claim cards compare with: to be better than a network that never saw the task tells nothing. */
export const answeredOver = [
  "from-scratch",
  "specialised",
  "trivial",
] as const satisfies readonly GainReference[];

/** What stands behind a comparator that all foundation models share: architectures, or the answer that takes no network. */
export const sharedModels = ({ cells }: Pick<Entry, "cells">): string[] => [
  ...new Set(cells.map(({ model, result }) => result?.trivial?.answer ?? model)),
];

/** The rows of a task by a strategy, one a foundation model. */
export const rowsOf = (summary: Summary, variant: TaskVariant): TaskRow[] =>
  summary.rows.filter((row) => isOf(variant, row));

/** The summary of as many models as figures and pictures can show. */
export function ofShownModels(summary: Summary): Summary {
  if (summary.models.length <= limits.models) return summary;
  const models = summary.models.slice(0, limits.models);
  const shown = new Set(models);
  return { ...summary, models, rows: summary.rows.filter(({ model }) => shown.has(model)) };
}

/** Everything that the report says, computed once from the results. */
export function summarise(results: StudyResults): Summary {
  const ofModels = results.cells.filter((cell) => !isShared(cell.comparator));
  const models = [...new Set(ofModels.map((cell) => cell.model))];
  const tasks = variantsOf(results.cells);
  const seeds = [...new Set(results.cells.map((cell) => cell.seed))].sort((a, b) => a - b);
  const claims = claimsOf(results);
  const index = indexOf(results, claims);
  const rows = models.flatMap((model) =>
    tasks
      .filter((variant) => index.cells.has(keyOf(variant, model)))
      .map((variant) => taskRow(index, variant, countsFor(tasks, variant), model)),
  );
  return {
    models,
    tasks,
    seeds,
    rows,
    cohorts: cohortsOf(results, [...new Set(tasks.map(({ task }) => task))]),
    findings: results.findings ?? computeFindings(results),
    intervals: results.intervals ?? [],
    relations: results.relations ?? computeRelations({ ...results, claims }),
  };
}

/** The cohorts that tasks are trained and tested on: the study's, unless no task takes it, then those of single tasks. */
function cohortsOf({ cohort }: StudyResults, tasks: readonly TaskKind[]): CohortInUse[] {
  const { excluded: _, masks: __, tasks: own = [], ...shared } = cohort;
  if (own.length === 0) return [{ ...shared, tasks: null }];
  const rest = tasks.filter((task) => own.every((one) => one.task !== task));
  const cohorts: CohortInUse[] = rest.length === 0 ? [] : [{ ...shared, tasks: rest }];
  const same = (one: CohortInUse, { manifest, split }: (typeof own)[number]) =>
    one.manifest === manifest &&
    (["train", "validation", "test"] as const).every((set) => one.split[set] === split[set]);
  for (const { task, ...one } of own) {
    const known = cohorts.find((other) => other.tasks !== rest && same(other, { task, ...one }));
    if (known) known.tasks?.push(task);
    else cohorts.push({ ...one, tasks: [task] });
  }
  return cohorts;
}

const isOf = (variant: TaskVariant, one: TaskVariant): boolean =>
  one.task === variant.task && one.strategy === variant.strategy;

/** What belongs to a row, found once: a study may have thousands of models. */
interface Index {
  cells: Map<string, CellSummary[]>;
  /** Comparators that all foundation models and strategies share, under names of their own. */
  shared: Record<SharedComparator, Map<TaskKind, Entry>>;
  claims: Map<string, Claim[]>;
  distances: Map<string, Distance[]>;
}

/** Those of the study; of results that are older than claims, by the rules that hold by default. */
const claimsOf = ({ claims, cells, exposure = [], pretraining }: StudyResults): Claim[] =>
  claims ?? computeClaims(resultsOf(cells), {}, { exposure, pretraining });

function indexOf({ cells, distances }: StudyResults, claims: readonly Claim[]): Index {
  const sharedBy = (comparator: SharedComparator) => {
    const byTask = groupBy(
      cells.filter((cell) => cell.comparator === comparator),
      (cell) => cell.task,
    );
    return new Map([...byTask].map(([task, own]) => [task, entry(comparator, own)]));
  };
  return {
    cells: groupBy(
      cells.filter((cell) => !isShared(cell.comparator)),
      (cell) => keyOf(cell, cell.model),
    ),
    shared: { specialised: sharedBy("specialised"), trivial: sharedBy("trivial") },
    claims: groupBy(claims, (claim) => keyOf(claim, claim.model, claim.reference)),
    distances: groupBy(distances, (distance) => keyOf(distance, distance.model, distance.name)),
  };
}

const keyOf = ({ task, strategy }: TaskVariant, ...rest: string[]): string =>
  JSON.stringify([task, strategy, ...rest]);

function taskRow(index: Index, variant: TaskVariant, counts: boolean, model: string): TaskRow {
  const mine = groupBy(index.cells.get(keyOf(variant, model)) ?? [], (cell) => cell.comparator);
  const entries = Object.fromEntries(
    comparators.map((comparator) => {
      const shared = isShared(comparator) ? index.shared[comparator].get(variant.task) : undefined;
      return [comparator, shared ?? entry(comparator, mine.get(comparator) ?? [])];
    }),
  ) as Record<Comparator, Entry>;
  const metric =
    comparators.flatMap((name) => entries[name].cells).find((cell) => cell.result)?.result?.metric.name ??
    null;
  const higher = higherIsBetter(variant.task);
  const means = comparators
    .flatMap((comparator) => entries[comparator].score?.mean ?? [])
    .filter(Number.isFinite);
  return {
    ...variant,
    model,
    counts,
    metric,
    higherIsBetter: higher,
    entries,
    claims: table(
      gainReferences,
      (reference) => index.claims.get(keyOf(variant, model, reference))?.[0] ?? null,
    ),
    distances: table(distanceNames, (name) =>
      rowDistance(name, index.distances.get(keyOf(variant, model, name))),
    ),
    best: bestOf(means, higher),
  };
}

/**
 * The mean to be marked as best. Null where there is nothing to mark: fewer than two comparators, all of them alike to
 * the digits shown, or none that learnt anything.
 */
function bestOf(means: readonly number[], higher: boolean): number | null {
  const [low, high] = [smallest(means), largest(means)];
  if (means.length < 2 || fixed(low, 3) === fixed(high, 3)) return null;
  if (!higher) return low;
  return high < hardlyAnything ? null : high;
}

function table<Key extends string, Value>(keys: readonly Key[], of: (key: Key) => Value | null) {
  const result: Partial<Record<Key, Value>> = {};
  for (const key of keys) {
    const value = of(key);
    if (value !== null) result[key] = value;
  }
  return result;
}

function entry(comparator: Comparator, cells: CellSummary[]): Entry {
  const worst = (["failed", "pending", "done"] as const).find((status) =>
    cells.some((cell) => cell.status === status),
  );
  return { comparator, cells, status: worst ?? "absent", score: score(cells) };
}

function score(cells: CellSummary[]): Score | null {
  const done = resultsOf(cells);
  if (done.length === 0) return null;
  const values = new Map<string, number[]>();
  for (const result of done) {
    if (result.metric.standardDeviation === null) continue; // a metric that only the whole set has
    for (const { case: id, value } of result.metric.cases) {
      if (value === null) continue; // such as Dice of a case without a lesion
      const list = values.get(id);
      if (list) list.push(value);
      else values.set(id, [value]);
    }
  }
  const cases = new Map([...values].map(([id, list]) => [id, average(list)]));
  const means = done.flatMap((result) => result.metric.mean ?? []);
  return {
    mean: means.length === 0 ? null : average(means),
    reason: done.find(({ metric }) => metric.mean === null)?.metric.reason ?? null,
    caseDeviation: deviation([...cases.values()]),
    seedDeviation: deviation(means),
    cases,
    testCases: cases.size > 0 ? cases.size : (done[0] as CellResult).metric.cases.length,
    secondary: secondaryMeans(done),
    confusion: sumOfMatrices(done.flatMap(({ metric }) => (metric.confusion ? [metric.confusion] : []))),
    seeds: done.map((result) => result.seed),
  };
}

/** Each secondary metric's mean over the seeds that have it; null where none has. */
function secondaryMeans(done: readonly CellResult[]): Map<string, number | null> {
  const names = [...new Set(done.flatMap(({ metric }) => Object.keys(metric.secondary)))];
  return new Map(
    names.map((name) => {
      const values = done.flatMap(({ metric }) => metric.secondary[name] ?? []);
      return [name, values.length === 0 ? null : average(values)];
    }),
  );
}

function sumOfMatrices(matrices: readonly number[][][]): number[][] | null {
  const [first, ...others] = matrices;
  if (!first) return null;
  return first.map((row, i) =>
    row.map((count, j) => others.reduce((sum, other) => sum + (other[i]?.[j] ?? 0), count)),
  );
}

function rowDistance(name: DistanceName, bySeed: Distance[] = []): RowDistance | null {
  const mean = meanDistance(bySeed);
  return mean && { name, ...mean, bySeed };
}
