import type { TopLevelSpec } from "vega-lite";
import type { Strategy, TaskName } from "../../common/vocabulary.js";
import { significant } from "../format.js";
import { html } from "../html.js";
import { pointLabel, starMeaning } from "../labels.js";
import { looks, roles, taskShape } from "../palette.js";
import type { Summary, TaskRow } from "../report-summary.js";
import { airyDomain, type Figure, numberAxis, panel, plotSize } from "./figure.js";
import { beneathLabels, type Labelled, type Layer, labelLayers, placeLabels } from "./point-labels.js";

const height = 310;

interface Point extends Labelled {
  model: string;
  task: TaskName;
  strategy: Strategy;
  fromScratch: number;
  fineTuned: number;
  /** The mean of what takes no network; null where the study has none. */
  trivial: number | null;
  D2S: number | null;
  higherIsBetter: boolean;
  area: number;
  shape: string;
}

/** Figure 1b of the paper: trained from scratch against fine-tuned, a point a task and strategy, its area growing with D2S. */
export function scratchFigure(summary: Summary): Figure | null {
  const shown = summary.rows.filter(
    (row) => Number.isFinite(scratch(row)) && Number.isFinite(fineTuned(row)),
  );
  if (shown.length === 0) return null;
  const largest = Math.max(0, ...shown.map((row) => row.distances.D2S?.paper.biased ?? 0));
  const points = shown.map((row): Point => {
    const D2S = row.distances.D2S?.paper.biased ?? null;
    const area = D2S === null || largest === 0 ? 60 : 60 + 440 * Math.max(0, D2S / largest);
    return {
      model: row.model,
      task: row.task,
      strategy: row.strategy,
      fromScratch: scratch(row),
      fineTuned: fineTuned(row),
      trivial: trivial(row),
      D2S,
      higherIsBetter: row.higherIsBetter,
      area,
      radius: Math.sqrt(area / Math.PI),
      shape: taskShape(row.task),
      x: scratch(row),
      y: fineTuned(row),
      label: `${pointLabel(row)}${D2S === null ? "" : `\nD2S ${significant(D2S)}`}`,
    };
  });
  const withTrivial = points.some((point) => point.trivial !== null);
  const models = summary.models.filter((model) => points.some((point) => point.model === model));
  return {
    name: "figure-1b",
    title: "Trained from scratch against fine-tuned",
    caption: html`Test metric of each task; above the diagonal, pretraining helped. The area of a point grows with D2S,
how far the fine-tuned representation lies from the one trained from scratch.${withTrivial ? " The bar above or below a point is what takes no network: a point beneath its bar does not beat it." : ""}${starMeaning(points)} Figure 1b of the paper.`,
    panels: [true, false].flatMap((higher) => {
      const alike = points.filter(({ higherIsBetter }) => higherIsBetter === higher);
      const domain = domainOf(alike, higher);
      return models.flatMap((model) => {
        const mine = alike.filter((point) => point.model === model);
        if (mine.length === 0) return [];
        const above = mine.filter((point) => isAbove(point, point.fromScratch)).length;
        return {
          label: `${model}: fine-tuned against from scratch${higher ? "" : ", lower is better"}. ${above} of ${mine.length} points lie above the diagonal${withTrivial ? `, ${beaten(mine)} above what takes no network` : ""}.`,
          title: higher ? model : `${model}: lower is better`,
          parts: [{ axis: "Fine-tuned", spec: (width: number) => spec(mine, domain, width) }],
        };
      });
    }),
    legend: withTrivial ? ["trivial"] : [],
    key: "point",
    columnsOfCsv: ["model", "task", "strategy", "fromScratch", "fineTuned", "trivial", "D2S"],
    rows: points.map(({ model, task, strategy, fromScratch, fineTuned, trivial, D2S }) => ({
      model,
      task,
      strategy,
      fromScratch,
      fineTuned,
      trivial,
      D2S,
    })),
  };
}

const scratch = (row: TaskRow) => row.entries["from-scratch"].score?.mean ?? Number.NaN;
const fineTuned = (row: TaskRow) => row.entries["fine-tuned"].score?.mean ?? Number.NaN;

const trivial = (row: TaskRow) => row.entries.trivial.score?.mean ?? null;

/** Whether the fine-tuned model is better than this: its point then lies above, as axes of errors run downwards. */
const isAbove = ({ fineTuned, higherIsBetter }: Point, other: number): boolean =>
  higherIsBetter ? fineTuned > other : fineTuned < other;

const beaten = (points: readonly Point[]): number =>
  points.filter((point) => point.trivial !== null && isAbove(point, point.trivial)).length;

/** From the worst to the best, so that better is above and to the right. */
function domainOf(points: readonly Point[], higher: boolean): [number, number] {
  const [low, high] = airyDomain(
    points.flatMap(({ fromScratch, fineTuned, trivial }) => [fromScratch, fineTuned, trivial ?? fineTuned]),
    0.18,
  );
  return higher ? [low, high] : [high, low];
}

function spec(points: Point[], [low, high]: [number, number], width: number): TopLevelSpec {
  const scale = { domain: [low, high], nice: false, zero: false };
  const bars = points.flatMap((point) =>
    point.trivial === null
      ? []
      : [{ ...point, y: point.trivial, trivial: point.trivial, label: "", radius: 6 }],
  );
  // Bars are in the way of labels, and have none themselves.
  const labels = placeLabels([...points, ...bars], {
    x: [low, high],
    y: [low, high],
    ...plotSize(height, width),
  }).filter(({ label }) => label !== "");
  return {
    ...panel(height, width),
    layer: [
      {
        data: { values: [{ a: low, b: high }] },
        mark: { type: "rule", strokeDash: [4, 4], color: roles.axis.light },
        encoding: {
          x: { field: "a", type: "quantitative", scale, title: "Trained from scratch" },
          x2: { field: "b" },
          y: {
            field: "a",
            type: "quantitative",
            scale,
            title: null,
            axis: numberAxis([low, high]),
          },
          y2: { field: "b" },
        },
      },
      ...beneathLabels(labels, scale, scale),
      {
        name: "points",
        data: { values: points },
        mark: { type: "point", filled: true, color: roles.ink.light, opacity: 0.8 },
        encoding: {
          x: { field: "fromScratch", type: "quantitative", scale },
          y: { field: "fineTuned", type: "quantitative", scale },
          size: { field: "area", type: "quantitative", scale: null },
          shape: { field: "shape", type: "nominal", scale: null },
        },
      },
      ...(bars.length === 0 ? [] : trivialBars(bars, scale)),
      ...labelLayers(labels, scale, scale),
    ],
  };
}

/** What takes no network beside each point: a bar at its height, and a thin line between the two. */
function trivialBars(bars: readonly (Point & { trivial: number })[], scale: object): Layer[] {
  const at = (field: string) => ({ field, type: "quantitative" as const, scale });
  return [
    {
      name: "trivial_lines",
      data: { values: [...bars] },
      mark: { type: "rule", strokeWidth: 0.8, strokeDash: [2, 2], color: looks.trivial.light },
      encoding: { x: at("fromScratch"), y: at("fineTuned"), y2: { field: "trivial" } },
    },
    {
      name: "trivial_bars",
      data: { values: [...bars] },
      mark: {
        type: "point",
        filled: true,
        opacity: 1,
        size: 70,
        shape: looks.trivial.shape,
        color: looks.trivial.light,
      },
      encoding: { x: at("fromScratch"), y: at("trivial") },
    },
  ];
}
