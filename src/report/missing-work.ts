import { groupBy } from "../common/group-by.js";
import type { Counts } from "../results/answers.js";
import type { CellSummary, StudyResults } from "../results/study.js";
import { count, grouped, names } from "./format.js";
import { comparatorLabel, taskInProse } from "./labels.js";

/** Failed, pending and left-out work: counts for the headline, and one line for each reason. */
export function missingWork(
  results: StudyResults,
  { cells: number }: Pick<Counts, "cells">,
): { headline: string | null; lines: string[] } {
  const cells = [...results.cells, ...(results.learningCurves?.cells ?? [])];
  const failed = cells.filter((cell) => cell.status === "failed");
  const pending = cells.filter((cell) => cell.status === "pending");
  const pretraining = results.pretraining.filter((run) => run.status !== "done");
  const lines = [
    ...failures(failed, cells),
    ...pretrainingLines(pretraining),
    ...stillToCome(pending, cells),
    ...exclusions(results.cohort.excluded),
  ];
  const unfinished = !results.complete && number.pending + pretraining.length > 0;
  const headline =
    unfinished || number.failed > 0
      ? `${number.pending > 0 ? "This study is not finished" : "Not all of this study succeeded"}: ${grouped(number.done)} of ${count(number.all, "cell")} done` +
        `${number.failed > 0 ? `, ${grouped(number.failed)} failed` : ""}${number.pending > 0 ? `, ${grouped(number.pending)} still to come` : ""}.`
      : null;
  return { headline, lines: lines.map((line) => line.trim()) };
}

/** Why the cells of a part of the study have no result: `failed` where none of them is still to come. */
export function whyNothing(cells: readonly Pick<CellSummary, "status" | "reason">[]): {
  status: "failed" | "pending";
  reasons: string[];
} {
  const failed = cells.filter(({ status }) => status === "failed");
  const status = failed.length > 0 && failed.length === cells.length ? "failed" : "pending";
  const reasons = [...groupBy(failed, ({ reason }) => alike(reason)).values()].map(([one]) =>
    firstLine(one?.reason ?? noReason),
  );
  return { status, reasons };
}

const noReason = "No reason was recorded.";

/** Reasons that differ in numbers alone, such as the epoch, are one. */
const alike = (reason: string | undefined): string => firstLine(reason ?? noReason).replace(/\d+/g, "#");

/** A line for each reason, with the cells that failed for it. */
function failures(failed: readonly CellSummary[], all: readonly CellSummary[]): string[] {
  return [...groupBy(failed, (cell) => alike(cell.reason)).values()].map((cells) => {
    const reason = firstLine(cells[0]?.reason ?? noReason);
    const [only] = cells;
    if (only && cells.length === 1) return `Failed: ${cellName(only)}. ${reason}`;
    return `Failed: ${count(cells.length, "cell")} (${whereabouts(cells, all)}). ${reason}`;
  });
}

/** Where cells lie in a study, as whole tasks and whole models where they are that, else one by one. */
function whereabouts(cells: readonly CellSummary[], all: readonly CellSummary[]): string {
  if (cells.length === all.length) return "every cell of the study";
  const parts: string[] = [];
  let rest = cells;
  const whole = (of: (cell: CellSummary) => string) => {
    const total = groupBy(all, of);
    const mine = groupBy(rest, of);
    const found = [...mine].filter(([key, own]) => own.length === total.get(key)?.length).map(([key]) => key);
    if (found.length === 0) return;
    parts.push(`every cell of ${names(found)}`);
    const taken = new Set(found);
    rest = rest.filter((cell) => !taken.has(of(cell)));
  };
  whole((cell) => taskInProse(cell));
  whole((cell) => cell.model);
  if (rest.length > 0) {
    // A seed or a comparator more is no other place, and neither is a task more where the same is missing.
    const places = [...groupBy(rest, (cell) => JSON.stringify([taskInProse(cell), cell.model])).values()];
    const missing = (own: readonly CellSummary[]): string =>
      `${own[0]?.model}, ${names([...new Set(own.map((cell) => comparatorLabel[cell.comparator].toLowerCase()))])}`;
    const named = [...groupBy(places, missing)].map(
      ([what, alike]) => `${what}: ${names(alike.flatMap(([cell]) => (cell ? [taskInProse(cell)] : [])))}`,
    );
    const shown = named.slice(0, 4);
    if (named.length > 4) shown.push(`${grouped(named.length - 4)} more`);
    parts.push(shown.join("; "));
  }
  return parts.join("; ");
}

function pretrainingLines(runs: StudyResults["pretraining"]): string[] {
  return [...groupBy(runs, (run) => `${run.status} ${alike(run.reason ?? "")}`).values()].flatMap(
    (alikes) => {
      const [run] = alikes;
      if (!run) return [];
      const word = run.status === "failed" ? "Failed" : "Still to come";
      const models = names([...new Set(alikes.map(({ model }) => model))]);
      return [`${word}: pretraining of ${models}. ${firstLine(run.reason ?? "")}`];
    },
  );
}

function stillToCome(pending: readonly CellSummary[], all: readonly CellSummary[]): string[] {
  if (pending.length === 0) return [];
  return [`Still to come: ${count(pending.length, "cell")} (${whereabouts(pending, all)}).`];
}

/** Cases that were left out, a line for each reason. */
function exclusions(excluded: StudyResults["cohort"]["excluded"]): string[] {
  return [...groupBy(excluded, ({ reason }) => alike(reason)).values()].flatMap((alikes) => {
    const [one] = alikes;
    if (!one) return [];
    const reason = firstLine(one.reason);
    if (alikes.length === 1)
      return [`Left out: case ${one.case}${one.file === null ? "" : ` (${one.file})`}. ${reason}`];
    return [
      `Left out: ${count(alikes.length, "case")} (${names(alikes.map((other) => other.case))}). ${reason}`,
    ];
  });
}

function cellName(cell: CellSummary) {
  return `${taskInProse(cell)}, ${cell.model}, ${comparatorLabel[cell.comparator].toLowerCase()}, seed ${cell.seed}`;
}

/** What a reason says in its first line, cut where it is long. */
export const firstLine = (text: string) => {
  const line = text.trim().split("\n", 1)[0] ?? "";
  return line.length > 240 ? `${line.slice(0, 237)}...` : line;
};
