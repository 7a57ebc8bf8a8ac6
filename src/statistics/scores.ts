import { groupBy } from "../common/group-by.js";
import { average, averageOrNull, deviation, largest, median, smallest, sumOf } from "../common/numbers.js";
import { isShared } from "../common/vocabulary.js";
import type { CellResult, EpochRecord } from "../results/cell.js";
import type { Score } from "../results/scores.js";
import type { CellSummary } from "../results/study.js";
import { resultsOf } from "./cells.js";
import { directionSaid } from "./direction.js";

/** What each comparator of a study came to on each task, over seeds and test cases; none of what is not done. */
export function computeScores(cells: readonly CellSummary[]): Score[] {
  const groups = groupBy(resultsOf(cells), ({ task, strategy, model, comparator }) =>
    JSON.stringify(isShared(comparator) ? [task, comparator] : [task, strategy, model, comparator]),
  );
  const scores = [...groups.values()].map(scoreOf);
  const scratch = new Map(
    scores
      .filter(({ comparator }) => comparator === "from-scratch")
      .map((score) => [rowOf(score), score.cost.deviceSeconds]),
  );
  return scores.map((score) => {
    const seconds = score.comparator === "fine-tuned" ? scratch.get(rowOf(score)) : undefined;
    const overFromScratch =
      seconds === undefined || !(seconds > 0) ? null : score.cost.deviceSeconds / seconds;
    return { ...score, cost: { ...score.cost, overFromScratch } };
  });
}

const rowOf = ({ task, strategy, model }: Score): string => JSON.stringify([task, strategy, model]);

function scoreOf(done: CellResult[]): Score {
  const [{ task, strategy, model, comparator, network, metric }] = done as [CellResult];
  const cases = byCase(done);
  const values = [...cases.values()].filter(Number.isFinite);
  const means = done.flatMap((result) => result.metric.mean ?? []);
  const converged = done.flatMap((result) => convergence(result, !metric.lowerIsBetter) ?? []);
  const overCases = (of: (values: readonly number[]) => number) => (values.length === 0 ? null : of(values));
  return {
    ...{ task, strategy, model, comparator, network },
    metric: metric.name,
    ...directionSaid(metric),
    seeds: done.map(({ seed }) => seed),
    mean: averageOrNull(means),
    reason: done.find((one) => one.metric.mean === null)?.metric.reason ?? null,
    caseDeviation: deviation([...cases.values()]),
    seedDeviation: deviation(means),
    median: overCases(median),
    lowest: overCases(smallest),
    highest: overCases(largest),
    testCases: cases.size > 0 ? cases.size : metric.cases.length,
    cases: [...cases].map(([id, value]) => ({ case: id, value })),
    secondary: secondaryMeans(done),
    confusion: sumOfMatrices(done.flatMap((one) => (one.metric.confusion ? [one.metric.confusion] : []))),
    ...(metric.classes === undefined ? {} : { classes: metric.classes }),
    converged,
    convergedEpoch: averageOrNull(converged.map(({ epoch }) => epoch)),
    cost: {
      wallSeconds: average(done.map(({ cost }) => cost.wallSeconds)),
      deviceSeconds: average(done.map(({ cost }) => cost.deviceSeconds)),
      peakMemoryBytes: largest(done.map(({ cost }) => cost.peakMemoryBytes)),
      epochsPerSecond: paceOf(done.flatMap(({ cost }) => cost.epochSeconds)),
      convergedSeconds: averageOrNull(converged.flatMap(({ cost }) => cost.seconds ?? [])),
      overFromScratch: null,
    },
  };
}

/** Each case's value, averaged over seeds; none of a metric that only the whole set has. */
function byCase(done: readonly CellResult[]): Map<string, number> {
  const values = new Map<string, number[]>();
  for (const { metric } of done) {
    if (metric.standardDeviation === null) continue;
    for (const { case: id, value } of metric.cases) {
      if (value === null) continue; // such as Dice of a case without a lesion
      const list = values.get(id);
      if (list) list.push(value);
      else values.set(id, [value]);
    }
  }
  return new Map([...values].map(([id, list]) => [id, average(list)]));
}

function secondaryMeans(done: readonly CellResult[]): Score["secondary"] {
  const names = [...new Set(done.flatMap(({ metric }) => Object.keys(metric.secondary)))];
  return Object.fromEntries(
    names.map((name) => [name, averageOrNull(done.flatMap(({ metric }) => metric.secondary[name] ?? []))]),
  );
}

function sumOfMatrices(matrices: readonly number[][][]): number[][] | null {
  const [first, ...others] = matrices;
  if (!first) return null;
  return first.map((row, i) =>
    row.map((count, j) => others.reduce((sum, other) => sum + (other[i]?.[j] ?? 0), count)),
  );
}

/**
 * When training was as good as done: at the first epoch within 1 % of the best validation metric. Null where nothing was
 * validated.
 */
export function convergence(result: CellResult, higher: boolean): Score["converged"][number] | null {
  const validated = result.curve.filter(
    (epoch): epoch is EpochRecord & { validationMetric: number } =>
      epoch.validationMetric !== null && Number.isFinite(epoch.validationMetric),
  );
  if (validated.length === 0) return null;
  const metrics = validated.map((epoch) => epoch.validationMetric);
  const best = higher ? largest(metrics) : smallest(metrics);
  const limit = best + (higher ? -1 : 1) * Math.abs(best) * 0.01;
  const first = validated.find(({ validationMetric }) =>
    higher ? validationMetric >= limit : validationMetric <= limit,
  ) as EpochRecord;
  const upTo = result.curve.findIndex(({ epoch }) => epoch === first.epoch) + 1;
  const times = result.cost.epochSeconds.slice(0, upTo);
  const known = times.length === upTo && times.every(Number.isFinite);
  const seconds = known ? sumOf(times) : null;
  return { seed: result.seed, best, epoch: first.epoch, cost: { seconds } };
}

/** Epochs a second; null where the times of none are known. */
export function paceOf(epochSeconds: readonly number[]): number | null {
  const known = epochSeconds.filter((seconds) => seconds > 0);
  return known.length === 0 ? null : 1 / average(known);
}
