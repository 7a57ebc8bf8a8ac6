import type { TopLevelSpec } from "vega-lite";
import { groupBy } from "../../common/group-by.js";
import { largest, smallest } from "../../common/numbers.js";
import {
  type Comparator,
  comparators,
  isShared,
  type Strategy,
  type TaskName,
  type TaskVariant,
} from "../../common/vocabulary.js";
import type { EpochRecord } from "../../results/cell.js";
import type { StudyResults } from "../../results/study.js";
import { variantName } from "../../tasks/index.js";
import type { CsvRow } from "../csv.js";
import { count, grouped, significant } from "../format.js";
import { html } from "../html.js";
import { comparatorLabel, metricLabel, taskInProse, taskLabel } from "../labels.js";
import { limits } from "../limits.js";
import { roles } from "../palette.js";
import { rowsOf, type Summary, type TaskRow } from "../report-summary.js";
import { thinCurve } from "../thin.js";
import {
  comparatorColours,
  comparatorDashes,
  comparatorShapes,
  type Figure,
  numberAxis,
  type Panel,
  type Part,
  panel,
  readableDomain,
} from "./figure.js";

interface Point extends Record<string, string | number> {
  task: TaskName;
  strategy: Strategy;
  model: string;
  comparator: Comparator;
  seed: number;
  epoch: number;
  quantity: "training loss" | "validation metric";
  value: number;
}

const columnsOfCsv = ["task", "strategy", "model", "comparator", "seed", "epoch", "quantity", "value"];

/** Figure 3 of the paper for one foundation model: training loss above, validation metric below, a column a task. */
export function curvesFigure(summary: Summary, model: string): Figure | null {
  return figureOf(
    summary,
    summary.rows.filter((row) => row.model === model),
    `figure-3-${identifier(model)}`,
    `Training of ${model}, by epoch`,
    taskLabel,
  );
}

/** The same for one task, a column a foundation model. */
export function taskCurvesFigure(summary: Summary, variant: TaskVariant): Figure | null {
  return figureOf(
    summary,
    rowsOf(summary, variant),
    `curves-${variantName(variant, "-")}`,
    `Training curves, ${taskInProse(variant)}`,
    (row) => row.model,
  );
}

function figureOf(
  summary: Summary,
  rows: TaskRow[],
  name: string,
  title: string,
  panelTitle: (row: TaskRow) => string,
): Figure | null {
  const points: Point[] = [];
  const panels: Panel[] = [];
  let thinned = false;
  for (const row of rows) {
    const { points: mine, all } = curvePoints(row);
    // The specialised model's curve is there to compare with; alone it says nothing of this one.
    if (mine.every(({ comparator }) => isShared(comparator))) continue;
    thinned ||= mine.length < all;
    for (const point of mine) points.push(point);
    const epochs = mine.map((point) => point.epoch);
    const domain: [number, number] = [smallest(epochs), largest(epochs)]; // its own: tasks are trained for longer or shorter
    panels.push({
      label: curvesFinding(row, panelTitle(row)),
      title: panelTitle(row),
      parts: (["training loss", "validation metric"] as const).map((quantity): Part => {
        const part = mine.filter((point) => point.quantity === quantity);
        const axis =
          quantity === "training loss"
            ? "Training loss"
            : `Validation: ${part.length === 0 ? "its metric is undefined" : metricLabel(row.metric ?? "metric")}`;
        return part.length === 0 ? { axis } : { axis, spec: (width) => curve(part, domain, width) };
      }),
    });
  }
  if (points.length === 0) return null;
  return {
    name,
    title,
    caption: html`Training loss above, validation metric below; one line a seed${summary.seeds.length > limits.seeds ? ` (the first ${limits.seeds} of ${grouped(summary.seeds.length)})` : null}. Where a line starts high and rises
early, the pretrained weights already fit the task.${points.some(({ comparator }) => comparator === "trivial") ? " What takes no network is a level line." : null}${thinned ? " Of long curves, the lowest and highest values of each stretch are drawn; cells/<id>/curve.csv has every epoch." : null}${name.startsWith("figure-3") ? " Figure 3 of the paper." : null}`,
    panels,
    legend: comparators.filter((comparator) => points.some((point) => point.comparator === comparator)),
    key: "line",
    columnsOfCsv,
    rows: points,
  };
}

/** Loss of the pretraining that the study did itself. */
export function pretrainingFigure(pretraining: StudyResults["pretraining"]): Figure | null {
  const withCurve = pretraining.filter((run) =>
    run.curve.some((epoch) => Number.isFinite(epoch.trainingLoss)),
  );
  if (withCurve.length === 0) return null;
  const rows: CsvRow[] = [];
  const panels = withCurve.map((run): Panel => {
    const values = thinCurve(
      run.curve.filter((epoch) => Number.isFinite(epoch.trainingLoss)),
      limits.curvePoints,
      (epoch) => epoch.trainingLoss,
    );
    for (const { epoch, trainingLoss } of values)
      rows.push({ model: run.model, seed: run.seed, epoch, trainingLoss });
    const [first, last] = [values[0], values.at(-1)];
    return {
      label: `Pretraining of ${run.model}: the loss goes from ${significant(first?.trainingLoss)} to ${significant(last?.trainingLoss)} in ${count(run.curve.length, "epoch")}.`,
      title: `${run.model}, seed ${run.seed}`,
      parts: [
        {
          axis: "Training loss",
          spec: (width) => ({
            ...panel(150, width),
            data: { values: values.map(({ epoch, trainingLoss }) => ({ epoch, trainingLoss })) },
            encoding: {
              x: {
                field: "epoch",
                type: "quantitative",
                ...epochAxis([values[0]?.epoch ?? 0, values.at(-1)?.epoch ?? 1]),
              },
              y: {
                field: "trainingLoss",
                type: "quantitative",
                scale: {
                  domain: readableDomain(values.map(({ trainingLoss }) => trainingLoss)),
                  zero: false,
                },
                title: null,
                axis: numberAxis(values.map(({ trainingLoss }) => trainingLoss)),
              },
            },
            layer: [
              { mark: { type: "line", color: roles.ink.light, strokeWidth: 1.75 } },
              {
                name: "points",
                mark: {
                  type: "point",
                  filled: true,
                  color: roles.ink.light,
                  size: values.length > 60 ? 6 : 20,
                  opacity: 1,
                },
              },
            ],
          }),
        },
      ],
    };
  });
  return {
    name: "pretraining",
    title: "Loss of pretraining, by epoch",
    caption: html`Of the pretraining that this study did itself.`,
    panels,
    legend: [],
    key: "line",
    columnsOfCsv: ["model", "seed", "epoch", "trainingLoss"],
    rows,
  };
}

/** From the first to the last epoch of a training, and no further. */
const epochAxis = (domain: [number, number]) => ({
  scale: { domain, zero: false, nice: false, padding: 6 },
  title: "Epoch",
  axis: { tickMinStep: 1, tickCount: 6, format: domain[1] >= 10_000 ? "~s" : "d", grid: false },
});

/** The cells that learnt the task by the row's own strategy: losses of different ones cannot be compared. */
const learntAlike = (row: TaskRow, comparator: Comparator) =>
  row.entries[comparator].cells.filter((cell) => cell.strategy === row.strategy);

/** The points to be drawn, and how many there are in all. */
function curvePoints(row: TaskRow): { points: Point[]; all: number } {
  const points: Point[] = [];
  let all = 0;
  const add = (curve: readonly Point[]) => {
    all += curve.length;
    for (const point of thinCurve(curve, limits.curvePoints, ({ value }) => value)) points.push(point);
  };
  for (const comparator of comparators) {
    for (const cell of learntAlike(row, comparator).slice(0, limits.seeds)) {
      const losses: Point[] = [];
      const metrics: Point[] = [];
      for (const epoch of cell.result?.curve ?? []) {
        const common = {
          task: row.task,
          strategy: row.strategy,
          model: cell.model,
          comparator,
          seed: cell.seed,
          epoch: epoch.epoch,
        };
        if (Number.isFinite(epoch.trainingLoss)) {
          losses.push({ ...common, quantity: "training loss", value: epoch.trainingLoss });
        }
        if (epoch.validationMetric !== null && Number.isFinite(epoch.validationMetric)) {
          metrics.push({ ...common, quantity: "validation metric", value: epoch.validationMetric });
        }
      }
      add(losses);
      add(metrics);
    }
  }
  const level = trivialLine(row, points);
  return { points: [...points, ...level], all: all + level.length };
}

/** What takes no network has no epochs: its value over the validation set, from the first epoch of the others to their last. */
function trivialLine({ entries, task, strategy }: TaskRow, beside: readonly Point[]): Point[] {
  const [result] = entries.trivial.cells.flatMap((cell) => cell.result ?? []);
  const value = result?.trivial?.validation;
  const validated = beside.some(({ quantity }) => quantity === "validation metric");
  if (!result || typeof value !== "number" || !validated) return [];
  const epochs = beside.map(({ epoch }) => epoch);
  const { model, seed } = result;
  const of = {
    task,
    strategy,
    model,
    comparator: "trivial" as const,
    seed,
    quantity: "validation metric" as const,
  };
  return [...new Set([smallest(epochs), largest(epochs)])].map((epoch) => ({ ...of, epoch, value }));
}

function curve(points: Point[], domain: [number, number], width: number): TopLevelSpec {
  const epochs = largest(
    [...groupBy(points, ({ comparator, seed }) => `${comparator} ${seed}`).values()].map(
      (line) => line.length,
    ),
  );
  const every = Math.ceil(epochs / 10);
  const marked = (point: Point, index: number): boolean =>
    epochs <= 30 || index % every === 0 || point.epoch === 0;
  const values = [...groupBy(points, ({ comparator, seed }) => `${comparator} ${seed}`)].flatMap(
    ([line, own]) => own.map((point, index) => ({ ...point, line, marked: marked(point, index) })),
  );
  const range = values.map(({ value }) => value);
  const encoding = {
    x: {
      field: "epoch",
      type: "quantitative" as const,
      ...epochAxis(domain),
    },
    y: {
      field: "value",
      type: "quantitative" as const,
      scale: { domain: readableDomain(range), zero: false, nice: true },
      title: null,
      axis: numberAxis(range),
    },
    color: { field: "comparator", type: "nominal" as const, scale: comparatorColours, legend: null },
    detail: { field: "line", type: "nominal" as const },
  };
  return {
    ...panel(150, width),
    data: { values },
    layer: [
      {
        name: "lines",
        mark: { type: "line", strokeWidth: 1.75, strokeCap: "butt" },
        encoding: {
          ...encoding,
          strokeDash: { field: "comparator", type: "nominal", scale: comparatorDashes, legend: null },
        },
      },
      {
        name: "markers",
        // Long curves get a marker now and then, to be told apart without colour; each value is a corner of its line.
        transform: [{ filter: "datum.marked" }],
        mark: { type: "point", filled: true, opacity: 1, size: 26 },
        encoding: {
          ...encoding,
          shape: { field: "comparator", type: "nominal", scale: comparatorShapes, legend: null },
        },
      },
    ],
  };
}

/** The finding of a panel of curves: where each comparator's validation metric ends, and how soon it was there. */
function curvesFinding(row: TaskRow, title: string): string {
  const findings = comparators.flatMap((comparator) => {
    const result = learntAlike(row, comparator).find(
      (cell) => cell.result && cell.result.curve.length > 0,
    )?.result;
    if (!result) return [];
    const { score } = row.entries[comparator];
    const converged = score?.converged.find(({ seed }) => seed === result.seed);
    const last = result.curve.at(-1) as EpochRecord;
    const end =
      converged === undefined
        ? `ends at loss ${significant(last.trainingLoss)}`
        : `best ${significant(converged.best)}, within 1 % of it from epoch ${converged.epoch}`;
    return [`${comparatorLabel[comparator]}: ${end}`];
  });
  const level = row.entries.trivial.cells.flatMap((cell) => cell.result?.trivial?.validation ?? [])[0];
  if (level !== undefined) findings.push(`${comparatorLabel.trivial}: ${significant(level)}`);
  return `${title}. ${findings.join("; ")}.`;
}

/** A name from outside as part of a file name or an id. */
export function identifier(name: string): string {
  return (
    name
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 60) || "model"
  );
}
