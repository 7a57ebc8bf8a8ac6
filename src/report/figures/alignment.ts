import type { TopLevelSpec } from "vega-lite";
import type { TaskVariant } from "../../common/vocabulary.js";
import { pearson, smallestSignificant } from "../../statistics/correlation.js";
import type { DistanceName, GainReference } from "../../study/results.js";
import { pValue, significant } from "../format.js";
import { html } from "../html.js";
import { distanceMeaning, pointLabel, referenceInProse, starMeaning } from "../labels.js";
import { roles, taskShape } from "../palette.js";
import { distanceNames, type Summary } from "../summary.js";
import { airyDomain, type Figure, numberAxis, panel, plotRoom, plotSize } from "./figure.js";
import { beneathLabels, type Labelled, labelLayers, placeLabels } from "./point-labels.js";

const height = 220;

interface Point extends Labelled, TaskVariant {
  model: string;
  /** Whether r and p are computed over it. */
  counts: boolean;
  distance: DistanceName;
  value: number;
  percent: number;
  saturated: boolean;
  shape: string;
}

/**
 * Figure 2 of the paper: relative performance gain over a reference against each distance, a row of panels a
 * foundation model, with r, p and n on each panel and, beneath it, where r lies between -1 and 1.
 */
export function alignmentFigure(summary: Summary, reference: GainReference): Figure | null {
  const points = summary.rows.flatMap((row) =>
    distanceNames.flatMap((distance): Point[] => {
      const value = row.distances[distance]?.biased;
      const percent = row.claims[reference]?.percent?.estimate;
      if (value === undefined || percent === undefined) return [];
      return [
        {
          model: row.model,
          task: row.task,
          strategy: row.strategy,
          counts: row.counts,
          distance,
          value,
          percent,
          saturated: row.distances[distance]?.saturated ?? false,
          shape: taskShape(row.task),
          x: value,
          y: percent,
          label: pointLabel(row),
        },
      ];
    }),
  );
  if (points.length === 0) return null;
  const domainY = airyDomain([0, ...points.map((point) => point.percent)], 0.15);
  const panels = summary.models.flatMap((model) =>
    distanceNames.flatMap((distance) => {
      const mine = points.filter((point) => point.model === model && point.distance === distance);
      return mine.length === 0 ? [] : [onePanel(model, distance, mine, domainY, reference)];
    }),
  );
  const allSaturated = points.every((point) => point.saturated);
  return {
    name: `figure-2-${reference}`,
    title: `Gain over ${referenceInProse[reference]} against each distance`,
    caption: html`Relative performance gain (RPG) of the fine-tuned model over ${referenceInProse[reference]}, against
squared MMD.${
      panels.some(({ parts }) => parts.length > 1)
        ? " The strip beneath a panel shows Pearson’s r with its 95 % interval; shaded is every r that so few points cannot tell from 0 (p ≥ 0.05)."
        : null
    }${
      points.some((point) => point.saturated)
        ? html` ${allSaturated ? "All points are" : "Hollow points are"} saturated${allSaturated ? " (drawn hollow)" : ""}: their distance means nothing.`
        : null
    }${
      points.every((point) => point.counts)
        ? null
        : " r and p count each task once. Paler points are tasks learnt a second time, by diffusion: they would not be independent, so with them r comes without a p."
    }${starMeaning(points)} Figure 2 of the paper.`,
    panels,
    rowOf: 3, // a row a foundation model, a panel a distance
    legend: [],
    key: "point",
    columnsOfCsv: [
      "model",
      "task",
      "strategy",
      "distance",
      "value",
      "saturated",
      "reference",
      "percent",
      "in r and p",
    ],
    rows: points.map(({ model, task, strategy, counts, distance, value, saturated, percent }) => ({
      model,
      task,
      strategy,
      distance,
      value,
      saturated: saturated ? "yes" : "no",
      reference,
      percent,
      "in r and p": counts ? "yes" : "no",
    })),
  };
}

function onePanel(
  model: string,
  distance: DistanceName,
  points: Point[],
  domainY: [number, number],
  reference: GainReference,
) {
  const counted = points.filter((point) => point.counts);
  const n = counted.length;
  const correlation = n < 3 ? null : correlate(counted);
  const ofAll = counted.length < points.length && points.length >= 3 ? correlate(points).r : null;
  const smallest = n < 3 ? null : smallestSignificant(n);
  const r = correlation?.r;
  const subtitle =
    correlation === null
      ? [`n = ${n}: too few tasks for a correlation`]
      : correlation.r === null || correlation.p === null
        ? [`n = ${n}: no correlation of what does not vary`]
        : [
            `r = ${significant(correlation.r, 2)}, ${pValue(correlation.p)}, n = ${n}`,
            `p < 0.05 needs |r| > ${significant(smallest)} at this n`,
          ];
  if (ofAll !== null) subtitle.push(`r = ${significant(ofAll, 2)} over all ${points.length} points`);
  return {
    label: `${model}, ${distance} (${distanceMeaning[distance]}) against the gain over ${referenceInProse[reference]}. ${subtitle.join("; ")}.`,
    title: `${model} · ${distance}`,
    subtitle,
    parts: [
      { axis: "RPG, %", spec: (width: number) => scatter(distance, points, domainY, width) },
      ...(r == null || smallest === null
        ? []
        : [{ spec: (width: number) => gauge(r, correlation?.interval ?? null, smallest, width) }]),
    ],
  };
}

const correlate = (points: readonly Point[]) =>
  pearson(
    points.map((point) => point.value),
    points.map((point) => point.percent),
  );

function scatter(
  distance: DistanceName,
  points: Point[],
  domainY: [number, number],
  width: number,
): TopLevelSpec {
  const domainX = airyDomain(
    points.map((point) => point.value),
    0.2,
  );
  const scaleX = { domain: domainX, nice: false, zero: false };
  const scaleY = { domain: domainY, nice: false, zero: false };
  const labels = placeLabels(points, { x: domainX, y: domainY, ...plotSize(height, width) });
  const mark = (saturated: boolean) => ({
    name: saturated ? "hollow" : "points",
    data: { values: points.filter((point) => point.saturated === saturated) },
    mark: { type: "point" as const, filled: !saturated, color: roles.ink.light, size: 90 },
    encoding: {
      x: { field: "value", type: "quantitative" as const, scale: scaleX },
      y: { field: "percent", type: "quantitative" as const, scale: scaleY },
      shape: { field: "shape", type: "nominal" as const, scale: null },
      opacity: { condition: { test: "datum.counts", value: 0.85 }, value: 0.4 },
    },
  });
  return {
    ...panel(height, width),
    layer: [
      {
        data: { values: [{ zero: 0, x: domainX[0] }] },
        mark: { type: "rule", color: roles.axis.light },
        encoding: {
          y: {
            field: "zero",
            type: "quantitative",
            scale: scaleY,
            title: null,
            axis: numberAxis(domainY),
          },
          x: { field: "x", type: "quantitative", scale: scaleX, title: distance, axis: { tickCount: 4 } },
          x2: { datum: domainX[1] },
        },
      },
      ...beneathLabels(labels, scaleX, scaleY),
      ...[false, true].filter((saturated) => points.some((point) => point.saturated === saturated)).map(mark),
      ...labelLayers(labels, scaleX, scaleY),
    ],
  };
}

/** Where r lies between -1 and 1, with its interval, over the band of those that are not significant. */
function gauge(r: number, interval: [number, number] | null, smallest: number, width: number): TopLevelSpec {
  const scale = { domain: [-1, 1], nice: false };
  const at = (field: string) => ({ field, type: "quantitative" as const, scale });
  return {
    ...panel(44, width, { ...plotRoom, bottom: 24 }),
    data: {
      values: [{ r, low: interval?.[0] ?? r, high: interval?.[1] ?? r, from: -smallest, to: smallest }],
    },
    layer: [
      {
        mark: { type: "bar", color: roles.band.light, height: 10 },
        encoding: {
          x: {
            ...at("from"),
            title: null,
            axis: { values: [-1, -0.5, 0, 0.5, 1], format: ".1~f", grid: false },
          },
          x2: { field: "to" },
        },
      },
      {
        mark: { type: "text", align: "right", color: roles.muted.light },
        encoding: { x: { value: -8 }, text: { value: "r" } },
      },
      {
        mark: { type: "rule", color: roles.ink.light, strokeWidth: 1.5 },
        encoding: { x: at("low"), x2: { field: "high" } },
      },
      {
        mark: { type: "point", filled: true, size: 55, opacity: 1, color: roles.ink.light },
        encoding: { x: at("r") },
      },
    ],
  };
}
