import { type Comparator, comparators, isShared } from "../common/vocabulary.js";
import { fidelityNotices } from "../report/fidelity.js";
import { summarise } from "../report/report-summary.js";
import { leaks, modelAnswers } from "../report/sentences.js";
import type { CellSummary, StudyResults } from "../results/study.js";
import { variantName } from "../tasks/index.js";
import { count, number, printable, table } from "./format.js";

/**
 * A study in words: the test metric of every task, model and comparator, what is not there, and at the end the
 * conclusion on each model, as the report's first sentences say it. The gains stand in the report's tables.
 */
export function studySummary(results: StudyResults, report: string | null): string {
  return [
    metricTable(results.cells),
    ...leaks(results).map(printable),
    ...fidelityNotices(results).map(printable),
    ...shortcomings(results),
    modelAnswers(summarise(results), results.drift)
      .map(({ answer, more }) => printable(`${answer} ${more}`.trim()))
      .join("\n"),
    (results.learningCurves?.curves ?? [])
      .flatMap(({ model, worth, ...of }) =>
        worth === null ? [] : [printable(`${model}, ${variantName(of)}: ${worth.words}`)],
      )
      .join("\n"),
    report === null ? "" : `Report: ${report}`,
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

/** One row a task, strategy, model and seed; one column a comparator; the mean over the test set ± its spread over cases. */
function metricTable(cells: readonly CellSummary[]): string {
  const shared = cells.filter((cell) => isShared(cell.comparator));
  const groups = new Map<string, CellSummary[]>();
  for (const cell of cells.filter(({ comparator }) => !isShared(comparator))) {
    const key = JSON.stringify([cell.task, cell.strategy, cell.model, cell.seed]);
    groups.set(key, [...(groups.get(key) ?? []), cell]);
  }
  const rows = [...groups.values()].map((group) => {
    const first = group[0] as CellSummary;
    const ofTask = shared.filter(
      (cell) => cell.task === first.task && (cell.comparator === "trivial" || cell.seed === first.seed),
    );
    const ofComparator = (name: Comparator) =>
      [...group, ...ofTask].filter((cell) => cell.comparator === name);
    const byComparator = comparators.map(
      (name) => ofComparator(name).find(({ seed }) => seed === first.seed) ?? ofComparator(name)[0],
    );
    const metric = byComparator.find((cell) => cell?.result)?.result?.metric.name ?? "";
    return [variantName(first), first.model, String(first.seed), metric, ...byComparator.map(scoreOf)].map(
      printable,
    );
  });
  return rows.length === 0 ? "" : table(["task", "model", "seed", "metric", ...comparators], rows);
}

function scoreOf(cell: CellSummary | undefined): string {
  if (!cell) return "–";
  if (!cell.result) return `– ${cell.status}`;
  const { mean, standardDeviation } = cell.result.metric;
  if (mean === null) return "– undefined";
  return standardDeviation === null ? number(mean) : `${number(mean)} ± ${number(standardDeviation)}`;
}

function shortcomings({ cells, learningCurves, pretraining, cohort, complete }: StudyResults): string[] {
  const lines: string[] = [];
  if (cohort.excluded.length > 0) {
    lines.push(
      `${count(cohort.excluded.length, "case")} left out:`,
      ...cohort.excluded.map(({ case: name, reason }) => `  ${printable(name)}: ${printable(reason)}`),
    );
  }
  const undefinedMetrics = cells.flatMap(({ task, result }) => {
    if (result?.metric.mean !== null) return [];
    const { name, reason = "no reason was recorded" } = result.metric;
    return [printable(`${task}: ${name} is undefined on the test set: ${reason}`)];
  });
  lines.push(...new Set(undefinedMetrics));
  const failed = [
    ...pretraining
      .filter(({ status }) => status === "failed")
      .map(({ model, reason }) => ({ id: model, reason })),
    ...[...cells, ...(learningCurves?.cells ?? [])].filter(({ status }) => status === "failed"),
  ];
  if (failed.length > 0) {
    lines.push(
      `${count(failed.length, "cell")} failed:`,
      ...failed.map(
        ({ id, reason }) => `  ${printable(id)}: ${printable(reason ?? "no reason was recorded")}`,
      ),
    );
  }
  if (!complete && failed.length === 0) lines.push("The study is not complete.");
  return lines.length > 0 ? [lines.join("\n")] : [];
}
