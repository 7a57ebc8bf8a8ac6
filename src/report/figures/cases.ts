import type { TopLevelSpec } from "vega-lite";
import { largest } from "../../common/numbers.js";
import { type Comparator, comparators, type TaskVariant } from "../../common/vocabulary.js";
import { variantName } from "../../tasks/index.js";
import { count, significant } from "../format.js";
import { html } from "../html.js";
import { comparatorLabel, metricLabel, metricWithDirection, taskInProse } from "../labels.js";
import { limits } from "../limits.js";
import { roles } from "../palette.js";
import { rowsOf, type Summary, type TaskRow } from "../report-summary.js";
import { evenlySpread } from "../thin.js";
import {
  comparatorColours,
  comparatorShapes,
  type Figure,
  panel,
  plotRoom,
  readableDomain,
} from "./figure.js";

interface Point {
  model: string;
  comparator: string;
  case: string;
  value: number;
  spread: number;
}

// The three that were trained on the task side by side, so that lines join what is compared most.
const order: readonly Comparator[] = [
  "fine-tuned",
  "from-scratch",
  "specialised",
  "pretrained",
  "random-weights",
  "trivial",
];

/** Every test case under every comparator, a thin line joining what belongs to one case. */
export function casesFigure(summary: Summary, variant: TaskVariant): Figure | null {
  const rows = rowsOf(summary, variant);
  const panels = rows.map((row) => ({ row, ...pointsOf(row) })).filter(({ points }) => points.length > 0);
  const points = panels.flatMap((panel) => panel.points);
  if (points.length === 0) return null;
  const metric = rows.find((row) => row.metric !== null)?.metric ?? "metric";
  const values = points.map((point) => point.value);
  const left = largest([0, ...panels.map(({ cases }) => cases)]);
  return {
    name: `cases-${variantName(variant, "-")}`,
    title: `Every test case, ${taskInProse(variant)}`,
    caption: html`${metricWithDirection(metric, rows[0]?.higherIsBetter ?? true)}. A point is a test case${summary.seeds.length > 1 ? ", averaged over seeds" : ""}; a thin line
follows it from comparator to comparator; the bar is the mean.${left > limits.cases ? ` Of ${count(left, "case")}, ${limits.cases} are drawn, spread evenly from the lowest to the highest score; the bar is the mean of all, and results.csv has every case.` : null}`,
    panels: panels.map(({ row, points: mine }) => ({
      label: finding(row),
      title: row.model,
      parts: [{ spec: (width) => spec(row, mine, readableDomain(values), width) }],
    })),
    legend: [],
    key: "point",
    columnsOfCsv: ["task", "strategy", "model", "comparator", "case", "value"],
    rows: points.map(({ model, comparator, case: id, value }) => ({
      ...variant,
      model,
      comparator,
      case: id,
      value,
    })),
  };
}

/** The points to be drawn, and how many cases there are. */
function pointsOf(row: TaskRow): { points: Point[]; cases: number } {
  const valuesOf = (comparator: Comparator) => {
    const { score } = row.entries[comparator];
    return score && new Map(score.cases.map(({ case: id, value }) => [id, value]));
  };
  const scores = order.flatMap((comparator) => valuesOf(comparator) ?? []);
  const all = new Set<string>();
  for (const cases of scores) for (const id of cases.keys()) all.add(id);
  // Chosen by the first comparator's score, the fine-tuned model's where it is there, and the same for all of them.
  const ids = evenlySpread([...all], limits.cases, (id) => scores[0]?.get(id) ?? Number.NEGATIVE_INFINITY);
  const points = order.flatMap((comparator) => {
    const cases = valuesOf(comparator);
    return ids.flatMap((id, index): Point[] => {
      const value = cases?.get(id);
      if (value === undefined || !Number.isFinite(value)) return [];
      // Spread evenly over the row's height and the same for a case everywhere, so that points do not hide each other.
      const spread = ids.length < 3 ? 0.5 : (index * 0.6180339887498949) % 1;
      return [{ model: row.model, comparator, case: id, value, spread }];
    });
  });
  return { points, cases: all.size };
}

/** With the comparators' names at the left. */
const room = { ...plotRoom, left: 108 };

function spec(row: TaskRow, points: Point[], range: [number, number], width: number): TopLevelSpec {
  const present = order.filter((comparator) => points.some((point) => point.comparator === comparator));
  const place = (comparator: string) => present.indexOf(comparator as Comparator);
  const placed = points.map((point) => ({
    ...point,
    place: place(point.comparator) + (point.spread - 0.5) * 0.56,
  }));
  const means = present.map((comparator) => ({
    value: row.entries[comparator].score?.mean ?? null,
    from: place(comparator) - 0.38,
    to: place(comparator) + 0.38,
  }));
  const x = {
    field: "value",
    type: "quantitative" as const,
    title: metricLabel(row.metric ?? "metric"),
    scale: { domain: range, nice: true, zero: false },
    axis: { tickCount: 4, labelOverlap: false },
  };
  const scaleY = { domain: [-0.5, present.length - 0.5], reverse: true, nice: false, zero: false };
  const y = {
    field: "place",
    type: "quantitative" as const,
    title: null,
    scale: scaleY,
    axis: {
      values: present.map((_, index) => index),
      labelExpr: `${JSON.stringify(present.map((comparator) => comparatorLabel[comparator]))}[datum.value]`,
      ticks: false,
      domain: false,
      grid: false,
      labelLimit: 0,
      labelPadding: 6,
    },
  };
  const many = points.length / present.length > 60;
  return {
    ...panel(room.top + present.length * 42 + room.bottom, width, room),
    layer: [
      {
        name: "case_lines",
        data: { values: placed },
        mark: { type: "line", color: roles.axis.light, opacity: many ? 0.15 : 0.4, strokeWidth: 1 },
        encoding: {
          x,
          y,
          detail: { field: "case", type: "nominal" },
          order: { field: "place", type: "quantitative" },
        },
      },
      {
        name: "points",
        data: { values: placed },
        mark: { type: "point", filled: true, size: many ? 22 : 42, opacity: many ? 0.55 : 0.85 },
        encoding: {
          x,
          y,
          color: { field: "comparator", type: "nominal", scale: comparatorColours, legend: null },
          shape: { field: "comparator", type: "nominal", scale: comparatorShapes, legend: null },
        },
      },
      {
        name: "means",
        data: { values: means },
        mark: { type: "rule", strokeWidth: 3, color: roles.ink.light },
        encoding: { x, y: { ...y, field: "from" }, y2: { field: "to" } },
      },
    ],
  };
}

function finding(row: TaskRow): string {
  const means = comparators.flatMap((comparator) => {
    const score = row.entries[comparator].score;
    return score ? [`${comparatorLabel[comparator]} ${significant(score.mean)}`] : [];
  });
  const claim = row.claims["from-scratch"];
  const better =
    claim && claim.better !== null
      ? ` The fine-tuned model is better than from scratch on ${claim.better} of ${count(claim.patients, "patient")}.`
      : "";
  return `${row.model}: mean ${means.join(", ")}.${better}`;
}
