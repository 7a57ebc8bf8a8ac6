import { comparators, type TaskVariant, variantName } from "../../common/vocabulary.js";
import type { Assets } from "../assets.js";
import { fixed } from "../format.js";
import type { Html } from "../html.js";
import { comparatorLabel, taskLabel } from "../labels.js";
import type { TaskRow } from "../summary.js";
import { absent, type TableCell } from "../table.js";

/** What else was measured on the test cases: a comparator of a model a line, a secondary metric a column. */
export function secondaryTable(rows: readonly TaskRow[], variant: TaskVariant, assets: Assets): Html | null {
  const lines = linesOf(rows).filter(({ score }) => score.secondary.size > 0);
  const names = [...new Set(lines.flatMap(({ score }) => [...score.secondary.keys()]))];
  if (names.length === 0) return null;
  return assets.table({
    name: `secondary-${variantName(variant, "-")}`,
    caption: `${taskLabel(variant)}: what else was measured on the test cases`,
    columns: [
      { label: "Comparator", kind: "text" },
      { label: "Model", kind: "text" },
      ...names.map((label) => ({ label, kind: "number" as const })),
    ],
    rows: lines.map(({ label, model, score }): TableCell[] => [
      { shown: label },
      { shown: model },
      ...names.map((name): TableCell => {
        const value = score.secondary.get(name) ?? null;
        return value === null ? absent : { shown: fixed(value, 3), sort: value };
      }),
    ]),
    csvColumns: ["comparator", "model", ...names],
    csvRows: lines.map(({ label, model, score }) => ({
      comparator: label,
      model,
      ...Object.fromEntries(names.map((name) => [name, score.secondary.get(name) ?? null])),
    })),
  });
}

/** How many cases of each class were answered with which, summed over seeds. */
export function confusionTable(rows: readonly TaskRow[], variant: TaskVariant, assets: Assets): Html | null {
  const lines = linesOf(rows).flatMap(({ label, model, score }) =>
    (score.confusion ?? []).map((counts, truth) => ({ label, model, truth, counts })),
  );
  const classes = lines[0]?.counts.length ?? 0;
  if (classes === 0) return null;
  const names = Array.from({ length: classes }, (_, index) => `as ${className(index)}`);
  return assets.table({
    name: `confusion-${variantName(variant, "-")}`,
    caption: `${taskLabel(variant)}: cases of each class, and how they were answered`,
    columns: [
      { label: "Comparator", kind: "text" },
      { label: "Model", kind: "text" },
      { label: "Class", kind: "text" },
      ...names.map((label) => ({ label, kind: "number" as const })),
    ],
    rows: lines.map(({ label, model, truth, counts }): TableCell[] => [
      { shown: label },
      { shown: model },
      { shown: className(truth) },
      ...counts.map((count): TableCell => ({ shown: String(count), sort: count })),
    ]),
    csvColumns: ["comparator", "model", "class", ...names],
    csvRows: lines.map(({ label, model, truth, counts }) => ({
      comparator: label,
      model,
      class: className(truth),
      ...Object.fromEntries(names.map((name, index) => [name, counts[index] ?? null])),
    })),
  });
}

/** The classes of PI-RADS, the one task that tells classes apart: 1 and 2 are one. */
const className = (index: number): string => `PI-RADS ${index === 0 ? "1-2" : index + 2}`;

const linesOf = (rows: readonly TaskRow[]) =>
  rows.flatMap((row) =>
    comparators.flatMap((comparator) => {
      const { score } = row.entries[comparator];
      const model = comparator === "specialised" ? row.specialisedModels.join(", ") : row.model;
      return score ? [{ label: comparatorLabel[comparator], model, score }] : [];
    }),
  );
