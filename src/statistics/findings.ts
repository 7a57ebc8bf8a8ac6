import { groupBy } from "../common/group-by.js";
import type { Comparator, Strategy, TaskKind } from "../common/vocabulary.js";
import type { CellResult, CellSummary, Distance, DistanceName, StudyResults } from "../study/results.js";
import { hardlyAnything } from "./claims.js";
import { notFallen } from "./pretraining-loss.js";

/** A task that no network of the study has learnt: none is above `hardlyAnything`, or none above what takes no network. */
export interface NothingLearnt {
  kind: "nothing-learnt";
  task: TaskKind;
  strategy: Strategy;
  metric: string;
  /** The best mean over seeds of a network that was trained on the task, and whose it is. */
  best: number;
  comparator: Comparator;
  model: string;
  /** The mean of what takes no network, where that was tested, and its name. */
  trivial: number | null;
  answer: string | null;
}

/** An encoder that gives all test cases the same features: no distance to or from it says anything. */
export interface CollapsedFeatures {
  kind: "collapsed-features";
  task: TaskKind;
  strategy: Strategy;
  model: string;
  comparator: Comparator;
}

/** A distance that cannot grow any more at the features' own scale: the two encoders are out of each other's reach. */
export interface DistanceAtCeiling {
  kind: "distance-at-ceiling";
  task: TaskKind;
  strategy: Strategy;
  model: string;
  distance: DistanceName;
}

/** A pretraining of the study whose loss ended no lower than it began, or was not finite. */
export interface PretrainingNotFallen {
  kind: "pretraining-not-fallen";
  model: string;
  /** Mean training loss over the first and over the last fifth of the epochs; null where it was not finite. */
  first: number | null;
  last: number | null;
}

/** What makes numbers of a study say less than they seem to, found in the numbers themselves. */
export type Finding = NothingLearnt | CollapsedFeatures | DistanceAtCeiling | PretrainingNotFallen;

/** Every finding that a study's results allow, each once. */
export function computeFindings(
  results: Pick<StudyResults, "cells" | "distances" | "pretraining">,
): Finding[] {
  return [
    ...notLearnt(results.cells),
    ...ofDistances(results.distances),
    ...results.pretraining.flatMap(({ model, curve }): PretrainingNotFallen[] => {
      const loss = notFallen({ curve });
      return loss ? [{ kind: "pretraining-not-fallen", model, ...loss }] : [];
    }),
  ];
}

const trained: ReadonlySet<Comparator> = new Set(["fine-tuned", "from-scratch", "specialised"]);

function notLearnt(cells: readonly CellSummary[]): NothingLearnt[] {
  const done = cells.flatMap(({ status, result }) => (status === "done" && result ? [result] : []));
  const ofModels = done.filter(({ comparator }) => comparator === "fine-tuned");
  const variants = new Map(
    ofModels.map(({ task, strategy }) => [JSON.stringify([task, strategy]), { task, strategy }]),
  );
  return [...variants.values()].flatMap(({ task, strategy }): NothingLearnt[] => {
    const networks = groups(
      done.filter(
        (cell) =>
          cell.task === task &&
          trained.has(cell.comparator) &&
          (cell.comparator === "specialised" || cell.strategy === strategy),
      ),
    );
    const [best] = networks.sort((one, other) => other.mean - one.mean);
    if (!best) return [];
    const trivial = done.find((cell) => cell.task === task && cell.comparator === "trivial");
    const level = trivial?.metric.mean ?? null;
    if (best.mean >= hardlyAnything && (level === null || best.mean > level)) return [];
    const { metric, comparator, model } = best.cell;
    return [
      {
        kind: "nothing-learnt",
        ...{ task, strategy, metric: metric.name, best: best.mean, comparator, model },
        trivial: level,
        answer: level === null ? null : (trivial?.trivial?.answer ?? trivial?.model ?? null),
      },
    ];
  });
}

/** The mean over seeds of each model's comparator. */
function groups(cells: readonly CellResult[]): { cell: CellResult; mean: number }[] {
  const measured = cells.filter(({ metric }) => metric.mean !== null);
  const all = groupBy(measured, ({ model, comparator }) => JSON.stringify([model, comparator]));
  return [...all.values()].map((own) => ({
    cell: own[0] as CellResult,
    mean: average(own.map(({ metric }) => metric.mean as number)),
  }));
}

const otherOf: Readonly<Record<DistanceName, Comparator>> = {
  D2R: "random-weights",
  D2P: "pretrained",
  D2S: "from-scratch",
};

function ofDistances(distances: readonly Distance[]): Finding[] {
  const found = new Map<string, Finding>();
  for (const { task, strategy, model, name, medianHeuristic } of distances) {
    const of = { task, strategy, model };
    for (const flag of medianHeuristic.flags) {
      const finding: Finding | null =
        flag === "collapsed-a"
          ? { kind: "collapsed-features", ...of, comparator: "fine-tuned" }
          : flag === "collapsed-b"
            ? { kind: "collapsed-features", ...of, comparator: otherOf[name] }
            : flag === "ceiling"
              ? { kind: "distance-at-ceiling", ...of, distance: name }
              : null;
      if (finding) found.set(JSON.stringify(finding), finding);
    }
  }
  return [...found.values()];
}

const average = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
