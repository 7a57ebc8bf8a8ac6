import type { TopLevelSpec } from "vega-lite";
import type { TaskVariant } from "../../common/vocabulary.js";
import type { GainReference } from "../../results/claims.js";
import type { DistanceName } from "../../results/distances.js";
import { distanceNames } from "../../results/distances.js";
import { pearson, smallestSignificant } from "../../statistics/correlation.js";
import { detectableCorrelation } from "../../statistics/detectable-correlation.js";
import { jointCorrelation, type PanelRelation } from "../../statistics/joint-correlation.js";
import { pValue, significant } from "../format.js";
import { html } from "../html.js";
import { distanceMeaning, pointLabel, referenceInProse, starMeaning } from "../labels.js";
import { roles, taskShape } from "../palette.js";
import type { Summary } from "../summary.js";
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
  const ofPanels = summary.models.flatMap((model) =>
    distanceNames.flatMap((distance) => {
      const mine = points.filter((point) => point.model === model && point.distance === distance);
      return mine.length === 0 ? [] : [{ model, distance, points: mine }];
    }),
  );
  const relations = relationsOf(ofPanels.map((one) => one.points));
  const panels = ofPanels.map(({ model, distance, points: mine }, index) =>
    onePanel(model, distance, mine, relations[index] as PanelRelation, domainY, reference),
  );
  const n = Math.max(...relations.map((relation) => relation.n));
  const allSaturated = points.every((point) => point.saturated);
  return {
    name: `figure-2-${reference}`,
    title: `Gain over ${referenceInProse[reference]} against each distance`,
    caption: html`Relative performance gain (RPG) of the fine-tuned model over ${referenceInProse[reference]}, against
squared MMD.${
      panels.some(({ parts }) => parts.length > 1)
        ? ` p is by permutation of tasks; joint p is the chance of an r as large on any panel of this figure where none has a relation. ${powerOf(n)} The strip beneath a panel shows Pearson’s r with its 95 % interval; shaded is every r below the critical value (p ≥ 0.05 by Student’s t).`
        : null
    }${
      points.some((point) => point.saturated)
        ? html` ${allSaturated ? "All points are" : "Hollow points are"} saturated${allSaturated ? " (drawn hollow)" : ""}: their distance means nothing.`
        : null
    }${
      points.every((point) => point.counts)
        ? null
        : " r and p count each task once. Paler points are tasks learnt a second time, by diffusion: they would not be independent, so with them r comes without a p."
    }${starMeaning(points)} ${reference === "trivial" ? "As Figure 2 of the paper, over another reference." : "Figure 2 of the paper."}`,
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
  relation: PanelRelation,
  domainY: [number, number],
  reference: GainReference,
) {
  const counted = points.filter((point) => point.counts);
  const n = counted.length;
  const correlation = n < 3 ? null : correlate(counted); // with its interval
  const ofAll = counted.length < points.length && points.length >= 3 ? correlate(points).r : null;
  const smallest = n < 3 ? null : smallestSignificant(n);
  const r = correlation?.r;
  const subtitle =
    correlation === null
      ? [`n = ${n}: too few tasks for a correlation`]
      : correlation.r === null || relation.p === null || relation.jointP === null
        ? [`n = ${n}: no correlation of what does not vary`]
        : [
            `r = ${significant(correlation.r, 2)}, ${pValue(relation.p)}, n = ${n}`,
            `joint ${pValue(relation.jointP)}; ${relation.reason}`,
          ];
  if (relation.leaveOneOut) {
    const [low, high] = relation.leaveOneOut;
    subtitle.push(`r ${significant(low, 2)} to ${significant(high, 2)} without one task`);
  }
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

/** Of r alone and its interval: p comes from all panels together. */
const correlate = (points: readonly Point[]) =>
  pearson(
    points.map((point) => point.value),
    points.map((point) => point.percent),
    { p: "student" },
  );

/** Every panel's relation, judged together over the tasks that count. */
function relationsOf(panels: readonly (readonly Point[])[]): PanelRelation[] {
  const counted = panels.map((points) => points.filter((point) => point.counts));
  const tasks = [...new Set(counted.flatMap((points) => points.map(({ task }) => task)))];
  const column = (points: readonly Point[], of: "value" | "percent") =>
    tasks.map((task) => points.find((point) => point.task === task)?.[of] ?? null);
  return jointCorrelation(
    counted.map((points) => ({ x: column(points, "value"), y: column(points, "percent") })),
  ).panels;
}

/** What so many tasks can find; the critical value is another thing, and lower. */
const powerOf = (n: number): string =>
  `With ${n} tasks p < 0.05 needs |r| > ${significant(smallestSignificant(n), 2)}, and a true |r| of ${significant(detectableCorrelation(n), 2)} is found four times in five.`;

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
