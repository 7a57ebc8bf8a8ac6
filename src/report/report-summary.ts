import { groupBy } from "../common/group-by.js";
import { largest, smallest } from "../common/numbers.js";
import {
  type Comparator,
  comparators,
  isShared,
  type SharedComparator,
  type TaskName,
  type TaskVariant,
} from "../common/vocabulary.js";
import type { Answer, Counts } from "../results/answers.js";
import type { TestMetric } from "../results/cell.js";
import { type Claim, type GainReference, gainReferences } from "../results/claims.js";
import { type Distance, type DistanceName, distanceNames, type MeanDistance } from "../results/distances.js";
import type { Finding } from "../results/findings.js";
import type { MetricInterval } from "../results/intervals.js";
import type { Relation } from "../results/relations.js";
import type { Score } from "../results/scores.js";
import type { CellSummary, StudyResults } from "../results/study.js";
import { answeredOver } from "../statistics/answers.js";
import { directionSaid, isHardlyAnything } from "../statistics/direction.js";
import { type SummarisedResults, summariseResults } from "../statistics/study-summary.js";
import { countsFor, variantsOf } from "../statistics/variants.js";
import { fixed } from "./format.js";
import { limits } from "./limits.js";

/** One comparator of a task and a model: what became of its cells, one a seed. */
export interface Entry {
  comparator: Comparator;
  cells: CellSummary[];
  /** `absent` where the plan has no such cell. With several seeds, the worst of them. */
  status: "done" | "failed" | "pending" | "absent";
  score: Score | null;
}

/** A distance over seeds, and in each of them. */
export interface RowDistance extends MeanDistance {
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
  lowerIsBetter?: true;
  /** What a result must reach before it counts as learnt; absent where no value says so. */
  floor?: number;
  entries: Record<Comparator, Entry>;
  /** What may be said of the fine-tuned model beside each reference. */
  claims: Partial<Record<GainReference, Claim>>;
  distances: Partial<Record<DistanceName, RowDistance>>;
  /** The mean to be marked as best among the comparators; null where none is better than the others. */
  best: number | null;
}

/** The numbers of a cohort, and which tasks take it; null where all do. */
export type CohortInUse = Omit<StudyResults["cohort"], "excluded" | "masks" | "tasks"> & {
  tasks: TaskName[] | null;
};

export interface Summary {
  models: string[];
  /** In the order of the paper; a task that is learnt in two ways stands here twice. */
  tasks: TaskVariant[];
  seeds: number[];
  rows: TaskRow[];
  /** What each comparator came to on each task. */
  scores: Score[];
  cost: SummarisedResults["cost"];
  cohorts: CohortInUse[];
  /** How often each verdict was given, a foundation model each. */
  answers: Answer[];
  counts: Counts;
  /** What makes numbers say less than they seem to, each once. */
  findings: Finding[];
  /** How sure metrics of whole test sets are. */
  intervals: MetricInterval[];
  /** Whether gains go with distances. */
  relations: Relation[];
  /** Between which distances fine-tuned encoders of two seeds lie, over the tasks of a model. */
  driftBands: SummarisedResults["driftBands"];
}

export { answeredOver };

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

/** Everything that the report says, in the order in which it is said; the numbers are those of the results. */
export function summarise(given: StudyResults): Summary {
  const results = summariseResults(given);
  const ofModels = results.cells.filter((cell) => !isShared(cell.comparator));
  const models = [...new Set(ofModels.map((cell) => cell.model))];
  const tasks = variantsOf(results.cells);
  const seeds = [...new Set(results.cells.map((cell) => cell.seed))].sort((a, b) => a - b);
  const index = indexOf(results);
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
    scores: results.scores,
    cost: results.cost,
    answers: results.answers,
    counts: results.counts,
    findings: results.findings,
    intervals: results.intervals ?? [],
    relations: results.relations,
    driftBands: results.driftBands,
  };
}

/** The cohorts that tasks are trained and tested on: the study's, unless no task takes it, then those of single tasks. */
function cohortsOf({ cohort }: StudyResults, tasks: readonly TaskName[]): CohortInUse[] {
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
  shared: Record<SharedComparator, Map<TaskName, Entry>>;
  scores: Map<string, Score[]>;
  claims: Map<string, Claim[]>;
  distances: Map<string, Distance[]>;
  meanDistances: Map<string, MeanDistance[]>;
}

function indexOf(results: SummarisedResults): Index {
  const { cells, claims, distances, meanDistances } = results;
  const scores = groupBy(results.scores, (score) =>
    isShared(score.comparator)
      ? JSON.stringify([score.task, score.comparator])
      : keyOf(score, score.model, score.comparator),
  );
  const sharedBy = (comparator: SharedComparator) => {
    const byTask = groupBy(
      cells.filter((cell) => cell.comparator === comparator),
      (cell) => cell.task,
    );
    return new Map(
      [...byTask].map(([task, own]) => [
        task,
        entry(comparator, own, scores.get(JSON.stringify([task, comparator]))?.[0]),
      ]),
    );
  };
  return {
    cells: groupBy(
      cells.filter((cell) => !isShared(cell.comparator)),
      (cell) => keyOf(cell, cell.model),
    ),
    scores,
    shared: { specialised: sharedBy("specialised"), trivial: sharedBy("trivial") },
    claims: groupBy(claims, (claim) => keyOf(claim, claim.model, claim.reference)),
    distances: groupBy(distances, (distance) => keyOf(distance, distance.model, distance.name)),
    meanDistances: groupBy(meanDistances, (one) => keyOf(one, one.model, one.name)),
  };
}

const keyOf = ({ task, strategy }: TaskVariant, ...rest: string[]): string =>
  JSON.stringify([task, strategy, ...rest]);

function taskRow(index: Index, variant: TaskVariant, counts: boolean, model: string): TaskRow {
  const mine = groupBy(index.cells.get(keyOf(variant, model)) ?? [], (cell) => cell.comparator);
  const entries = Object.fromEntries(
    comparators.map((comparator) => {
      const shared = isShared(comparator) ? index.shared[comparator].get(variant.task) : undefined;
      const score = isShared(comparator)
        ? undefined
        : index.scores.get(keyOf(variant, model, comparator))?.[0];
      return [comparator, shared ?? entry(comparator, mine.get(comparator) ?? [], score)];
    }),
  ) as Record<Comparator, Entry>;
  const measured = comparators.flatMap((name) => entries[name].cells).find((cell) => cell.result)
    ?.result?.metric;
  const metric = measured?.name ?? null;
  const higher = !measured?.lowerIsBetter;
  const means = comparators
    .flatMap((comparator) => entries[comparator].score?.mean ?? [])
    .filter(Number.isFinite);
  return {
    ...variant,
    model,
    counts,
    metric,
    higherIsBetter: higher,
    ...(measured && directionSaid(measured)),
    entries,
    claims: table(
      gainReferences,
      (reference) => index.claims.get(keyOf(variant, model, reference))?.[0] ?? null,
    ),
    distances: table(distanceNames, (name) => {
      const [mean] = index.meanDistances.get(keyOf(variant, model, name)) ?? [];
      return mean ? { ...mean, bySeed: index.distances.get(keyOf(variant, model, name)) ?? [] } : null;
    }),
    best: bestOf(means, measured ?? {}),
  };
}

/**
 * The mean to be marked as best. Null where there is nothing to mark: fewer than two comparators, all of them alike to
 * the digits shown, or none that learnt anything.
 */
function bestOf(
  means: readonly number[],
  metric: Pick<TestMetric, "lowerIsBetter" | "floor">,
): number | null {
  const [low, high] = [smallest(means), largest(means)];
  if (means.length < 2 || fixed(low, 3) === fixed(high, 3)) return null;
  if (metric.lowerIsBetter) return isHardlyAnything(metric, low) ? null : low;
  return isHardlyAnything(metric, high) ? null : high;
}

function table<Key extends string, Value>(keys: readonly Key[], of: (key: Key) => Value | null) {
  const result: Partial<Record<Key, Value>> = {};
  for (const key of keys) {
    const value = of(key);
    if (value !== null) result[key] = value;
  }
  return result;
}

function entry(comparator: Comparator, cells: CellSummary[], score: Score | undefined): Entry {
  const worst = (["failed", "pending", "done"] as const).find((status) =>
    cells.some((cell) => cell.status === status),
  );
  return { comparator, cells, status: worst ?? "absent", score: score ?? null };
}
