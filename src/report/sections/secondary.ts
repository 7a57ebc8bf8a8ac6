import { groupBy } from "../../common/group-by.js";
import { comparators, isShared, type TaskVariant } from "../../common/vocabulary.js";
import { variantName } from "../../tasks/index.js";
import type { Assets } from "../assets.js";
import { fixed } from "../format.js";
import { type Html, html } from "../html.js";
import { comparatorLabel, metricLabel, taskLabel } from "../labels.js";
import { type Summary, sharedModels, type TaskRow } from "../report-summary.js";
import { absent, type TableCell } from "../table.js";

/** What else was measured on the test cases: a comparator of a model a line, a secondary metric a column. */
export function secondaryTable(rows: readonly TaskRow[], variant: TaskVariant, assets: Assets): Html | null {
  const lines = linesOf(rows).filter(({ score }) => Object.keys(score.secondary).length > 0);
  const names = [...new Set(lines.flatMap(({ score }) => Object.keys(score.secondary)))];
  if (names.length === 0) return null;
  return assets.table({
    name: `secondary-${variantName(variant, "-")}`,
    caption: `${taskLabel(variant)}: what else was measured on the test cases`,
    columns: [
      { label: "Comparator", kind: "text" },
      { label: "Model", kind: "text", wideOnly: true },
      ...names.map((label) => ({ label, kind: "number" as const })),
    ],
    rows: lines.map(({ label, model, score }): TableCell[] => [
      { shown: label, narrow: html`${model}` },
      { shown: model },
      ...names.map((name): TableCell => {
        const value = score.secondary[name] ?? null;
        return value === null ? absent : { shown: fixed(value, 3), sort: value };
      }),
    ]),
    csvColumns: ["comparator", "model", ...names],
    csvRows: lines.map(({ label, model, score }) => ({
      comparator: label,
      model,
      ...Object.fromEntries(names.map((name) => [name, score.secondary[name] ?? null])),
    })),
  });
}

/** How sure the metrics of the whole test set are: a metric of a comparator of a model a line. */
export function intervalsTable(summary: Summary, variant: TaskVariant, assets: Assets): Html | null {
  const own = summary.intervals.filter(
    ({ task, strategy, comparator }) =>
      task === variant.task && (strategy === variant.strategy || isShared(comparator)),
  );
  if (own.length === 0) return null;
  const number = (value: number | null): TableCell =>
    value === null ? absent : { shown: fixed(value, 3), sort: value };
  const notes = [...new Set(own.flatMap(({ note }) => note ?? []))];
  return html`${assets.table({
    name: `intervals-${variantName(variant, "-")}`,
    caption: `${taskLabel(variant)}: how sure metrics of the whole test set are`,
    columns: [
      { label: "Comparator", kind: "text" },
      { label: "Model", kind: "text", wideOnly: true },
      { label: "Metric", kind: "text" },
      { label: "mean", kind: "number" },
      { label: "95 % from", kind: "number" },
      { label: "to", kind: "number" },
      { label: "Seeds", kind: "number" },
      { label: "Patients", kind: "number" },
      { label: "Method", kind: "text" },
    ],
    rows: own.map((one): TableCell[] => [
      { shown: comparatorLabel[one.comparator], narrow: html`${one.model}` },
      { shown: one.model },
      { shown: metricLabel(one.metric) },
      number(one.estimate),
      number(one.low),
      number(one.high),
      { shown: String(one.seeds), sort: one.seeds },
      { shown: String(one.patients), sort: one.patients },
      { shown: `${one.method}, by ${one.unit}` },
    ]),
    csvColumns: [
      ...["comparator", "model", "metric", "mean", "95% from", "95% to", "standard error"],
      ...["method", "unit", "patients", "seeds", "note"],
    ],
    csvRows: own.map(({ comparator, model, metric, estimate, low, high, standardError, ...rest }) => ({
      ...{ comparator: comparatorLabel[comparator], model, metric, mean: estimate },
      ...{ "95% from": low, "95% to": high, "standard error": standardError },
      ...{ method: rest.method, unit: rest.unit, patients: rest.patients, seeds: rest.seeds },
      note: rest.note ?? "",
    })),
  })}${notes.map((note) => html`<p class="quiet">${note.charAt(0).toUpperCase() + note.slice(1)}.</p>`)}`;
}

/** How many cases of each class were answered with which, summed over seeds. */
export function confusionTable(rows: readonly TaskRow[], variant: TaskVariant, assets: Assets): Html | null {
  const lines = linesOf(rows).flatMap(({ label, model, score }) =>
    (score.confusion ?? []).map((counts, truth) => ({ label, model, truth, counts, classes: score.classes })),
  );
  const classes = lines[0]?.counts.length ?? 0;
  if (classes === 0) return null;
  const names = Array.from(
    { length: classes },
    (_, index) => lines[0]?.classes?.[index] ?? `class ${index + 1}`,
  );
  // Of a class without a test case there is nothing to answer.
  const there = names.map((_, index) =>
    lines.some(({ truth, counts }) => truth === index && counts.some(Boolean)),
  );
  const answers = groupBy(lines, ({ label, model }) => JSON.stringify([label, model]));
  const csvNames = names.map((name) => `as ${name}`);
  return assets.table({
    name: `confusion-${variantName(variant, "-")}`,
    caption: `${taskLabel(variant)}: how cases of each class were answered; right answers are bold`,
    columns: [
      { label: "Comparator", kind: "text" },
      { label: "Model", kind: "text", wideOnly: true },
      ...names
        .filter((_, index) => there[index])
        .flatMap((truth) =>
          names.map((answer) => ({
            label: answer.replace("PI-RADS ", ""),
            group: { label: `${truth}, answered as`, class: "plain" },
            kind: "number" as const,
          })),
        ),
    ],
    rows: [...answers.values()].map((own): TableCell[] => [
      { shown: own[0]?.label ?? "", narrow: html`${own[0]?.model ?? ""}` },
      { shown: own[0]?.model ?? "" },
      ...own
        .filter(({ truth }) => there[truth])
        .flatMap(({ truth, counts }) =>
          counts.map(
            (count, answer): TableCell => ({ shown: String(count), sort: count, best: answer === truth }),
          ),
        ),
    ]),
    csvColumns: ["comparator", "model", "class", ...csvNames],
    csvRows: lines.map(({ label, model, truth, counts }) => ({
      comparator: label,
      model,
      class: names[truth] as string,
      ...Object.fromEntries(csvNames.map((name, index) => [name, counts[index] ?? null])),
    })),
  });
}

/** A line a comparator of each foundation model, and one for each comparator that they share. */
const linesOf = (rows: readonly TaskRow[]) =>
  rows.flatMap((row, index) =>
    comparators.flatMap((comparator) => {
      const { score } = row.entries[comparator];
      const shared = isShared(comparator);
      if (!score || (shared && index > 0)) return [];
      const model = shared ? sharedModels(row.entries[comparator]).join(", ") : row.model;
      return [{ label: comparatorLabel[comparator], model, score }];
    }),
  );
