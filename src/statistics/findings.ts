import { comparatorOf } from "../alignment/distances.js";
import { groupBy } from "../common/group-by.js";
import { average } from "../common/numbers.js";
import type { Comparator } from "../common/vocabulary.js";
import type { CellResult } from "../results/cell.js";
import type { Distance } from "../results/distances.js";
import type { Finding, NothingLearnt, PretrainingNotFallen } from "../results/findings.js";
import type { CellSummary, StudyResults } from "../results/study.js";
import { resultsOf } from "./cells.js";
import { directionOf, directionSaid, isHardlyAnything } from "./direction.js";
import { notFallen } from "./pretraining-loss.js";

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
  const done = resultsOf(cells);
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
    const [first] = networks;
    if (!first) return [];
    const direction = directionOf(first.cell.metric);
    const best = networks.reduce((most, one) => (direction * (one.mean - most.mean) > 0 ? one : most));
    const trivial = done.find((cell) => cell.task === task && cell.comparator === "trivial");
    const level = trivial?.metric.mean ?? null;
    const { metric, comparator, model } = best.cell;
    const isBeaten = level !== null && direction * (best.mean - level) <= 0;
    if (!isHardlyAnything(metric, best.mean) && !isBeaten) return [];
    return [
      {
        kind: "nothing-learnt",
        ...{
          task,
          strategy,
          metric: metric.name,
          ...directionSaid(metric),
          best: best.mean,
          comparator,
          model,
        },
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

function ofDistances(distances: readonly Distance[]): Finding[] {
  const found = new Map<string, Finding>();
  for (const { task, strategy, model, name, medianHeuristic } of distances) {
    const of = { task, strategy, model };
    for (const flag of medianHeuristic.flags) {
      const finding: Finding | null =
        flag === "collapsed-a"
          ? { kind: "collapsed-features", ...of, comparator: "fine-tuned" }
          : flag === "collapsed-b"
            ? { kind: "collapsed-features", ...of, comparator: comparatorOf[name] }
            : flag === "ceiling"
              ? { kind: "distance-at-ceiling", ...of, distance: name }
              : null;
      if (finding) found.set(JSON.stringify(finding), finding);
    }
  }
  return [...found.values()];
}
