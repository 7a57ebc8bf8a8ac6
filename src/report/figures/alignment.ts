import type { TopLevelSpec } from "vega-lite";
import type { GainReference } from "../../results/claims.js";
import type { DistanceName, DriftBetweenSeeds } from "../../results/distances.js";
import type { Relation, RelationPoint } from "../../results/relations.js";
import type { SummarisedResults } from "../../statistics/study-summary.js";
import { pValue, significant } from "../format.js";
import { html } from "../html.js";
import { distanceMeaning, pointLabel, referenceInProse, starMeaning } from "../labels.js";
import { roles, taskShape } from "../palette.js";
import type { Summary } from "../report-summary.js";
import { airyDomain, type Figure, numberAxis, panel, plotRoom, plotSize } from "./figure.js";
import { beneathLabels, type Labelled, labelLayers, placeLabels } from "./point-labels.js";

const height = 220;

interface Point extends Labelled, RelationPoint {
  shape: string;
}

/**
 * Figure 2 of the paper: relative performance gain over a reference against each distance, a row of panels a
 * foundation model, with r, p and n on each panel and, beneath it, where r lies between -1 and 1.
 */
export function alignmentFigure(
  summary: Summary,
  reference: GainReference,
  drift: readonly DriftBetweenSeeds[] = [],
): Figure | null {
  const models = new Set(summary.models);
  const relations = summary.relations.filter((one) => one.reference === reference && models.has(one.model));
  const points = relations.flatMap(({ model, distance, points: own }) =>
    own.map((point) => ({ ...point, model, name: distance })),
  );
  if (points.length === 0) return null;
  const domainY = airyDomain([0, ...points.map((point) => point.percent)], 0.15);
  const bandOf = (model: string) => summary.driftBands.find((one) => one.model === model) ?? null;
  const panels = relations.map((relation) => onePanel(relation, bandOf(relation.model), domainY));
  const most = relations.reduce((best, one) => (one.n > best.n ? one : best));
  const allSaturated = points.every((point) => point.saturated);
  return {
    name: `figure-2-${reference}`,
    title: `Gain over ${referenceInProse[reference]} against each distance`,
    caption: html`Relative performance gain (RPG) of the fine-tuned model over ${referenceInProse[reference]}, against
squared MMD.${
      panels.some(({ parts }) => parts.length > 1)
        ? ` p is by permutation of tasks; joint p is the chance of an r as large in any relation of this study over ${referenceInProse[reference]} where none has one. ${powerOf(most)} The strip beneath a panel shows Pearson’s r with its 95 % interval over tasks${relations.some(({ resampled }) => resampled) ? ", as thin line, and that of drawing patients and seeds anew, as thick one" : ""}; shaded is every r below the critical value (p ≥ 0.05 by Student’s t).`
        : null
    }${
      points.some((point) => point.saturated)
        ? html` ${allSaturated ? "All points are" : "Hollow points are"} saturated${allSaturated ? " (drawn hollow)" : ""}: their distance means nothing.`
        : null
    }${
      points.every((point) => point.counts)
        ? null
        : " r and p count each task once. Paler points are tasks learnt a second time, by diffusion: they would not be independent, so with them r comes without a p."
    }${
      summary.models.some((model) => bandOf(model) !== null)
        ? ` Shaded upright: distances between fine-tuned encoders of two seeds of one task, which is what a distance is judged against, not 0.${drift.some((one) => one.saturated) ? " Some of these are saturated too." : ""}`
        : " How far two seeds drift apart is not known, and so no distance can be told from it."
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
    rows: points.map(({ model, task, strategy, counts, name, distance, saturated, percent }) => ({
      model,
      task,
      strategy,
      distance: name,
      value: distance,
      saturated: saturated ? "yes" : "no",
      reference,
      percent,
      "in r and p": counts ? "yes" : "no",
    })),
  };
}

/** What is shaded: distances between fine-tuned encoders of two seeds. */
type Band = Omit<SummarisedResults["driftBands"][number], "model">;

function onePanel(relation: Relation, drift: Band | null, domainY: [number, number]) {
  const { model, distance, reference, n, r, p, jointP, leaveOneOut, resampled, overAllPoints } = relation;
  const points = relation.points.map(
    (point): Point => ({
      ...point,
      shape: taskShape(point.task),
      x: point.distance,
      y: point.percent,
      label: pointLabel(point),
    }),
  );
  const subtitle =
    n < 3
      ? [`n = ${n}: too few tasks for a correlation`]
      : r === null || p === null || jointP === null
        ? [`n = ${n}: no correlation of what does not vary`]
        : [`r = ${significant(r, 2)}, ${pValue(p)}, n = ${n}`, `joint ${pValue(jointP)}; ${relation.reason}`];
  if (leaveOneOut)
    subtitle.push(
      `r ${significant(leaveOneOut.low, 2)} to ${significant(leaveOneOut.high, 2)} without one task`,
    );
  if (resampled)
    subtitle.push(
      `${significant(resampled.low, 2)} to ${significant(resampled.high, 2)} with ${resampled.seeds === 1 ? "patients" : "patients and seeds"} drawn anew`,
    );
  if (overAllPoints !== null)
    subtitle.push(`r = ${significant(overAllPoints, 2)} over all ${points.length} points`);
  return {
    label: `${model}, ${distance} (${distanceMeaning[distance]}) against the gain over ${referenceInProse[reference]}. ${subtitle.join("; ")}.`,
    title: `${model} · ${distance}`,
    subtitle,
    parts: [
      { axis: "RPG, %", spec: (width: number) => scatter(distance, points, drift, domainY, width) },
      ...(r === null ? [] : [{ spec: (width: number) => gauge({ ...relation, r }, width) }]),
    ],
  };
}

/** Fewer tasks have 6 orders, and no p below 1/6. */
const fewestForSmallP = 4;

/** What so many tasks can find; the critical value is another thing, and lower. */
const powerOf = ({ n, critical, detectable }: Relation): string =>
  n < fewestForSmallP
    ? `With ${n} tasks no p by permutation lies below 0.05.`
    : `With ${n} tasks p < 0.05 needs |r| > ${significant(critical ?? 1, 2)}, and a true |r| of ${significant(detectable ?? 1, 2)} is found four times in five.`;

function scatter(
  distance: DistanceName,
  points: Point[],
  drift: Band | null,
  domainY: [number, number],
  width: number,
): TopLevelSpec {
  const band = drift === null ? [] : [drift.low, drift.high];
  const domainX = airyDomain([...points.map((point) => point.distance), ...band], 0.2);
  const scaleX = { domain: domainX, nice: false, zero: false };
  const scaleY = { domain: domainY, nice: false, zero: false };
  const labels = placeLabels(points, { x: domainX, y: domainY, ...plotSize(height, width) });
  const mark = (saturated: boolean) => ({
    name: saturated ? "hollow" : "points",
    data: { values: points.filter((point) => point.saturated === saturated) },
    mark: { type: "point" as const, filled: !saturated, color: roles.ink.light, size: 90 },
    encoding: {
      x: { field: "distance", type: "quantitative" as const, scale: scaleX },
      y: { field: "percent", type: "quantitative" as const, scale: scaleY },
      shape: { field: "shape", type: "nominal" as const, scale: null },
      opacity: { condition: { test: "datum.counts", value: 0.85 }, value: 0.4 },
    },
  });
  return {
    ...panel(height, width),
    layer: [
      ...(drift === null ? [] : [driftLayer(drift, scaleX)]),
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

/** Distances that two trainings of different seeds have from each other, the plot's whole height. */
const driftLayer = ({ low, high }: Band, scale: object) => ({
  name: "drift",
  data: { values: [{ low, high }] },
  mark: { type: "rect" as const, color: roles.band.light, stroke: roles.band.light, opacity: 0.6 },
  encoding: {
    x: { field: "low", type: "quantitative" as const, scale },
    x2: { field: "high" },
  },
});

/** Where r lies between -1 and 1, with its interval, over the band of those that are not significant. */
function gauge({ r, interval, resampled, critical }: Relation & { r: number }, width: number): TopLevelSpec {
  const scale = { domain: [-1, 1], nice: false };
  const at = (field: string) => ({ field, type: "quantitative" as const, scale });
  return {
    ...panel(44, width, { ...plotRoom, bottom: 24 }),
    data: {
      values: [
        {
          ...{ r, low: interval?.low ?? r, high: interval?.high ?? r },
          ...{ lowest: resampled?.low ?? r, highest: resampled?.high ?? r },
          ...{ from: -(critical ?? 1), to: critical ?? 1 },
        },
      ],
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
        mark: { type: "rule", color: roles.ink.light, strokeWidth: 4 },
        encoding: { x: at("lowest"), x2: { field: "highest" } },
      },
      {
        mark: { type: "point", filled: true, size: 55, opacity: 1, color: roles.ink.light },
        encoding: { x: at("r") },
      },
    ],
  };
}
