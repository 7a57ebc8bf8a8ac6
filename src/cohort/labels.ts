import type { CaseLabels, CohortColumns, LabelColumn, LabelValue } from "./columns.js";

/** The labels of a case as its manifest says them, and the columns in which something else stands. */
export interface LabelRead {
  labels: CaseLabels;
  wrong: { column: string; expected: string }[];
}

/** Volumes in mm³ of the labels of a mask, by the label's number. */
export type LabelVolumes = Readonly<Record<string, number>>;

/**
 * The labels of a case: what its line of the manifest says, and null for each that follows from a mask it has.
 *
 * @param values by column
 */
export function readLabels(
  values: ReadonlyMap<string, string>,
  { labels: columns }: CohortColumns,
): LabelRead {
  const labels: Record<string, LabelValue> = {};
  const wrong: LabelRead["wrong"] = [];
  for (const [column, label] of Object.entries(columns)) {
    if (label.volumeOf !== undefined) {
      if ((values.get(label.volumeOf.mask) ?? "") !== "") labels[column] = null;
      continue;
    }
    const text = values.get(column) ?? "";
    if (text === "") continue;
    const value = parsed(text, label);
    if (value === null) wrong.push({ column, expected: `${label.values}, or nothing` });
    else labels[column] = value;
  }
  return { labels, wrong };
}

/** What a text says of a label; null where that is no value of it. */
function parsed(text: string, label: LabelColumn): number | string | null {
  if (label.kind === "class") return label.classes.find((one) => String(one) === text) ?? null;
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) && Number.isFinite(Number(text))
    ? Number(text)
    : null;
}

/** The masks whose volumes labels follow from. */
export const measuredMasks = ({ labels }: Pick<CohortColumns, "labels">): string[] => [
  ...new Set(Object.values(labels).flatMap(({ volumeOf }) => volumeOf?.mask ?? [])),
];

/** The labels of a case whose masks were measured: what was null has its value. */
export function measuredLabels(
  labels: CaseLabels,
  measured: Readonly<Record<string, LabelVolumes>>,
  { labels: columns }: Pick<CohortColumns, "labels">,
): CaseLabels {
  return Object.fromEntries(
    Object.entries(labels).map(([name, value]) => {
      const column = columns[name];
      const volumes = column?.volumeOf && measured[column.volumeOf.mask];
      if (!column?.volumeOf || !volumes) return [name, value];
      const { labels: which } = column.volumeOf;
      const volume = Object.entries(volumes)
        .filter(([label]) => which === undefined || which.includes(Number(label)))
        .reduce((sum, [, one]) => sum + one, 0);
      if (column.kind === "number") return [name, volume];
      const above = (column.thresholds ?? []).filter((threshold) => volume >= threshold).length;
      return [name, column.classes[above] as LabelValue];
    }),
  );
}

/**
 * Where a case's label stands among the classes, counted from 1, for dividing patients by it; 0 where it is not known or
 * is a number.
 */
export function stratumOf(labels: CaseLabels, { stratify, labels: columns }: CohortColumns): number {
  const column = stratify === null ? undefined : columns[stratify];
  const value = stratify === null ? undefined : labels[stratify];
  if (column?.kind !== "class" || value === undefined || value === null) return 0;
  return column.classes.indexOf(value) + 1;
}
