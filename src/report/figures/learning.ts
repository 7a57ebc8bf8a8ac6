import type { TopLevelSpec } from "vega-lite";
import { comparators } from "../../common/vocabulary.js";
import type { LearningCurve } from "../../results/learning-curves.js";
import { fixed } from "../format.js";
import { html } from "../html.js";
import { comparatorLabel, metricLabel, taskLabel } from "../labels.js";
import {
  airyDomain,
  comparatorColours,
  comparatorDashes,
  comparatorShapes,
  type Figure,
  numberAxis,
  panel,
} from "./figure.js";

const height = 220;

/** The test metric by how many patients are trained on, a panel a model and task; null where nothing is done. */
export function learningFigure(curves: readonly LearningCurve[]): Figure | null {
  const shown = curves.filter(({ points }) => points.some(({ mean }) => Number.isFinite(mean)));
  if (shown.length === 0) return null;
  const rows = shown.flatMap(({ task, strategy, model, points }) =>
    points.map(({ seeds, seconds, ...point }) => ({
      task,
      strategy,
      model,
      ...point,
      seeds: seeds.length,
      seconds,
    })),
  );
  return {
    name: "learning-curves",
    title: "Learning curves",
    caption: html`Test metric by how many patients are trained on, on a logarithmic axis, comparators side by side; bars are 95 %
intervals over seeds and patients (over patients for what takes no network), and are left out where there is one seed.`,
    panels: shown.map((curve) => ({
      label: `${curve.model}, ${taskLabel(curve)}. ${curve.worth?.words ?? finding(curve)}`,
      title: `${curve.model}: ${taskLabel(curve)}`,
      parts: [{ axis: metricLabel(curve.metric), spec: (width: number) => spec(curve, width) }],
    })),
    legend: comparators.filter((name) => rows.some(({ comparator }) => comparator === name)),
    key: "line",
    columnsOfCsv: [
      "model",
      "task",
      "strategy",
      "comparator",
      "patients",
      "mean",
      "low",
      "high",
      "seeds",
      "seconds",
    ],
    rows,
  };
}

/** Where each line ends, for a curve of which nothing else is known. */
const finding = ({ points }: LearningCurve): string =>
  points
    .filter((point, index) => points[index + 1]?.comparator !== point.comparator)
    .map(
      ({ comparator, mean, patients }) =>
        `${comparatorLabel[comparator]}: ${fixed(mean, 3)} on ${Math.round(patients)}`,
    )
    .join("; ");

/** Points of one number of patients stand this far apart, as a share of the axis: otherwise their intervals hide one another. */
const apart = 0.018;

function spec({ points }: LearningCurve, width: number): TopLevelSpec {
  const known = points.filter(({ mean }) => Number.isFinite(mean));
  const present = comparators.filter((name) => known.some(({ comparator }) => comparator === name));
  const numbers = known.map((point) => point.patients);
  const length = Math.log(Math.max(...numbers) / Math.min(...numbers));
  const drawn = known.map((point) => {
    const side = present.indexOf(point.comparator) - (present.length - 1) / 2;
    return { ...point, place: point.patients * Math.exp(side * apart * length) };
  });
  const range = drawn.flatMap(({ mean, low, high }) => [mean, low ?? mean, high ?? mean]);
  const scale = { domain: airyDomain(range, 0.06), zero: false, nice: false };
  const patients = [...new Set(numbers)];
  const encoding = {
    x: {
      field: "place",
      type: "quantitative" as const,
      scale: { type: "log" as const, nice: false, padding: 10 },
      title: "Training patients",
      axis: { values: patients, format: ",.0f", grid: false, labelOverlap: true },
    },
    y: { field: "mean", type: "quantitative" as const, scale, title: null, axis: numberAxis(range) },
    color: { field: "comparator", type: "nominal" as const, scale: comparatorColours, legend: null },
  };
  return {
    ...panel(height, width),
    data: { values: drawn },
    layer: [
      {
        name: "intervals",
        transform: [{ filter: "datum.low !== null && datum.high !== null" }],
        mark: { type: "rule", strokeWidth: 1.25, opacity: 0.6 },
        encoding: { ...encoding, y: { ...encoding.y, field: "low" }, y2: { field: "high" } },
      },
      {
        name: "lines",
        mark: { type: "line", strokeWidth: 1.75 },
        encoding: {
          ...encoding,
          strokeDash: { field: "comparator", type: "nominal", scale: comparatorDashes, legend: null },
        },
      },
      {
        name: "markers",
        mark: { type: "point", filled: true, opacity: 1, size: 34 },
        encoding: {
          ...encoding,
          shape: { field: "comparator", type: "nominal", scale: comparatorShapes, legend: null },
        },
      },
    ],
  };
}
