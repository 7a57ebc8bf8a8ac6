import type { TopLevelSpec } from "vega-lite";
import type { Strategy, TaskKind } from "../../common/vocabulary.js";
import type { GainReference } from "../../study/results.js";
import { percent as inPercent } from "../format.js";
import { html } from "../html.js";
import { comparatorLabel, pointLabel, starMeaning } from "../labels.js";
import { largest, median, smallest } from "../means.js";
import { looks, roles } from "../palette.js";
import type { Summary } from "../summary.js";
import { type Figure, panel, textSize, ticksAroundZero } from "./figure.js";

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
      const percent = row.claims[reference]?.percent;
      if (!percent) return [];
      return [
        {
          model: row.model,
          task: row.task,
          strategy: row.strategy,
          label: pointLabel(row),
          reference,
          percent: percent.estimate,
          low: percent.low,
          high: percent.high,
        },
      ];
    }),
  );
  if (points.length === 0) return null;
  const domain = gainDomain(points);
  const beyond = points.some(
    (point) => clamp(point.percent, domain) !== point.percent || isCut(point.low, point.high, domain),
  );
  const models = summary.models.filter((model) => points.some((point) => point.model === model));
  return {
    name: "gain",
    title: "Gain over training from scratch",
    caption: html`Relative performance gain (RPG) of the fine-tuned model; right of zero, its pretrained weights
helped. ${points.some(({ low }) => low !== null) ? "The line is its 95 % interval over seeds and patients." : "Of one seed there is no interval: how much a result moves from one training to the next is not known."}${beyond ? " What reaches the edge of the axis goes on beyond it: the numbers tell how far." : null}${starMeaning(points)}`,
    panels: models.map((model) => {
      const mine = points.filter((point) => point.model === model);
      return {
        label: `${model}: ${mine.map((point) => `${point.label} ${inPercent(point.percent)} over ${comparatorLabel[point.reference].toLowerCase()}`).join("; ")}.`,
        title: model,
        parts: [{ spec: (width: number) => spec(mine, domain, width) }],
      };
    }),
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

/**
 * The part of the axis on which most gains can be told apart: one task that gains a hundred times what the others do, or
 * whose few cases leave the interval without end, would flatten all others.
 */
export function gainDomain(points: readonly Pick<Point, "percent" | "low" | "high">[]): [number, number] {
  const sizes = points.map(({ percent: value }) => Math.abs(value));
  const halves = points.flatMap(({ low, high }) => (low === null || high === null ? [] : [(high - low) / 2]));
  const most = Math.max(5, 4 * median(sizes), halves.length === 0 ? 0 : 3 * median(halves));
  const all = points.flatMap((point) => [point.percent, point.low ?? 0, point.high ?? 0, 0]);
  return [Math.max(-most, smallest(all)), Math.min(most, largest(all))];
}

const clamp = (value: number, [low, high]: readonly [number, number]): number =>
  Math.min(high, Math.max(low, value));

const isCut = (low: number | null, high: number | null, [from, to]: readonly [number, number]): boolean =>
  low !== null && high !== null && (low < from || high > to);

/** For the tasks' names at the left and the numbers at the right. */
const room = { left: 142, right: 58, top: 4, bottom: 40 };

const arrowLeft = "M-1,0L0.6,-0.9L0.6,0.9Z";
const arrowRight = "M1,0L-0.6,-0.9L-0.6,0.9Z";

function spec(points: Point[], domain: [number, number], width: number): TopLevelSpec {
  const tasks = [...new Set(points.map((point) => point.label))];
  const scale = { domain, nice: false, zero: false, padding: 10 };
  const y = {
    field: "label",
    type: "nominal" as const,
    scale: { domain: tasks },
    title: null,
    axis: {
      ticks: false,
      domain: false,
      grid: false,
      labelLimit: 0,
      labelPadding: 6,
    },
  };
  const at = (field: string) => ({ field, type: "quantitative" as const, scale });
  const values = points.map((point) => ({
    ...point,
    shown: clamp(point.percent, domain),
    from: point.low === null ? null : clamp(point.low, domain),
    to: point.high === null ? null : clamp(point.high, domain),
    shape:
      point.percent < domain[0]
        ? arrowLeft
        : point.percent > domain[1]
          ? arrowRight
          : looks[point.reference].shape,
    number: inPercent(point.percent),
  }));
  return {
    ...panel(tasks.length * 30 + room.top + room.bottom, width, room),
    data: { values },
    layer: [
      {
        data: { values: [{}] },
        mark: { type: "rule", color: roles.axis.light },
        encoding: { x: { datum: 0 } },
      },
      {
        transform: [{ filter: "isValid(datum.from) && isValid(datum.to)" }],
        mark: { type: "rule", strokeWidth: 1.75, color: looks["from-scratch"].light },
        encoding: { x: at("from"), x2: { field: "to" }, y },
      },
      {
        name: "points",
        mark: { type: "point", filled: true, opacity: 1, size: 80, color: looks["from-scratch"].light },
        encoding: {
          x: {
            ...at("shown"),
            title: "RPG, %",
            axis: { values: ticksAroundZero(domain), labelOverlap: false },
          },
          y,
          shape: { field: "shape", type: "nominal", scale: null },
        },
      },
      {
        name: "numbers",
        mark: { type: "text", align: "right", color: roles.ink.light, fontSize: textSize, clip: false },
        encoding: { x: { value: { expr: "width + 52" } }, y, text: { field: "number", type: "nominal" } },
      },
    ],
  };
}
