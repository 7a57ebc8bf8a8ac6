import type { TopLevelSpec } from "vega-lite";
import type { Strategy, TaskKind } from "../../common/vocabulary.js";
import type { GainReference } from "../../study/results.js";
import { percent } from "../format.js";
import { html } from "../html.js";
import { comparatorLabel, pointLabel, starMeaning } from "../labels.js";
import { roles } from "../palette.js";
import type { Summary } from "../summary.js";
import { comparatorColours, comparatorShapes, type Figure, panel } from "./figure.js";

interface Point {
  model: string;
  task: TaskKind;
  strategy: Strategy;
  label: string;
  reference: GainReference;
  percent: number;
  low: number | null;
  high: number | null;
}

// One reference only: gains over others are of another size and would flatten the one that answers the question.
const shown: readonly GainReference[] = ["from-scratch"];

/** The answer as a picture: gain over training from scratch, with its uncertainty. */
export function gainFigure(summary: Summary): Figure | null {
  const points = summary.rows.flatMap((row) =>
    shown.flatMap((reference): Point[] => {
      const gain = row.gains[reference];
      const mean = row.entries[reference].score?.mean;
      if (!gain || mean == null) return [];
      // The interval of the mean paired difference, in percent of the reference, around the gain of the results.
      const paired = row.paired[reference];
      const half =
        paired?.high != null && mean !== 0
          ? (Math.abs(paired.high - paired.mean) / Math.abs(mean)) * 100
          : null;
      return [
        {
          model: row.model,
          task: row.task,
          strategy: row.strategy,
          label: pointLabel(row),
          reference,
          percent: gain.percent,
          low: half === null ? null : gain.percent - half,
          high: half === null ? null : gain.percent + half,
        },
      ];
    }),
  );
  if (points.length === 0) return null;
  const all = points.flatMap((point) => [
    point.percent,
    point.low ?? point.percent,
    point.high ?? point.percent,
    0,
  ]);
  const domain = [Math.min(...all), Math.max(...all)];
  const models = summary.models.filter((model) => points.some((point) => point.model === model));
  return {
    name: "gain",
    title: "Gain over training from scratch",
    caption: html`Relative performance gain (RPG) of the fine-tuned model; right of zero, its pretrained weights
helped. The line is the 95 % interval of the difference, paired by test case.${starMeaning(points)}`,
    panels: models.map((model) => {
      const mine = points.filter((point) => point.model === model);
      return {
        label: `${model}: ${mine.map((point) => `${point.label} ${percent(point.percent)} over ${comparatorLabel[point.reference].toLowerCase()}`).join("; ")}.`,
        title: model,
        parts: [spec(mine, domain)],
      };
    }),
    columns: Math.min(3, models.length),
    legend: [],
    key: "point",
    columnsOfCsv: ["model", "task", "strategy", "reference", "percent", "low", "high"],
    rows: points.map(({ model, task, strategy, reference, percent: value, low, high }) => ({
      model,
      task,
      strategy,
      reference,
      percent: value,
      low,
      high,
    })),
  };
}

function spec(points: Point[], domain: number[]): TopLevelSpec {
  const tasks = new Set(points.map((point) => point.label)).size;
  const scale = { domain, nice: true, zero: false };
  const y = {
    field: "label",
    type: "nominal" as const,
    sort: null,
    title: null,
    axis: {
      ticks: false,
      domain: false,
      labelFontSize: 11.5,
      minExtent: 118,
      maxExtent: 118,
      labelLimit: 0,
      labelPadding: 6,
    },
  };
  const yOffset = { field: "reference", type: "nominal" as const, sort: [...shown] };
  const color = { field: "reference", type: "nominal" as const, scale: comparatorColours, legend: null };
  const at = (field: string) => ({ field, type: "quantitative" as const, scale });
  return {
    ...panel(44 + tasks * 32),
    data: { values: points },
    layer: [
      {
        data: { values: [{}] },
        mark: { type: "rule", color: roles.axis.light },
        encoding: { x: { datum: 0 } },
      },
      {
        transform: [{ filter: "isValid(datum.low)" }],
        mark: { type: "rule", strokeWidth: 1.75 },
        encoding: { x: at("low"), x2: { field: "high" }, y, yOffset, color },
      },
      {
        name: "points",
        mark: { type: "point", filled: true, opacity: 1, size: 80 },
        encoding: {
          x: { ...at("percent"), title: "RPG, %", axis: { tickCount: 5 } },
          y,
          yOffset,
          color,
          shape: { field: "reference", type: "nominal", scale: comparatorShapes, legend: null },
        },
      },
    ],
  };
}
