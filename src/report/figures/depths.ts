import type { TopLevelSpec } from "vega-lite";
import { largest } from "../../common/numbers.js";
import {
  type DepthDistance,
  type Distance,
  type DistanceName,
  type DriftBetweenSeeds,
  distanceNames,
} from "../../results/distances.js";
import { fixed } from "../format.js";
import { html } from "../html.js";
import { taskLabel } from "../labels.js";
import { roles } from "../palette.js";
import type { RowDistance, Summary, TaskRow } from "../report-summary.js";
import { identifier } from "./curves.js";
import { type Figure, numberAxis, type Panel, panel } from "./figure.js";

const height = 190;

/** D2P stands out: it is what fine-tuning moved. */
const dashes: Record<DistanceName, number[]> = { D2R: [6, 3], D2P: [1, 0], D2S: [2, 2] };

interface Point {
  depth: string;
  distance: DistanceName;
  value: number;
  last: boolean;
}

/** Where along a foundation model fine-tuning moved its features: the Procrustes distance at each depth, a panel a task. */
export function depthsFigure(
  summary: Summary,
  drift: readonly DriftBetweenSeeds[],
  model: string,
): Figure | null {
  const rows = summary.rows.filter((row) => row.model === model);
  const drawn = rows.flatMap((row) => {
    const own = drift.find(
      (one) => one.model === model && one.task === row.task && one.strategy === row.strategy,
    );
    const points = distanceNames.flatMap((name) => pointsOf(row.distances[name]));
    return points.length === 0 ? [] : [{ row, points, drift: own }];
  });
  if (drawn.length === 0) return null;
  const bands = drawn.flatMap(
    ({ drift: own }) => own?.depths.flatMap(({ procrustes }) => procrustes?.high ?? []) ?? [],
  );
  const top =
    largest([...drawn.flatMap(({ points }) => points.map(({ value }) => value)), ...bands, 0.05]) * 1.08;
  const withBand = bands.length > 0;
  return {
    name: `depths-${identifier(model)}`,
    title: `Where along ${model} its features moved`,
    caption: html`Procrustes distance (squared, 0 to 2) of the test cases’ features, averaged over positions, from the
encoder’s first depth to its last, between the fine-tuned encoder and the pretrained one (D2P, drawn through), random weights
(D2R) and training from scratch (D2S).${
      withBand
        ? " Shaded: between fine-tuned encoders of two seeds. What lies within it is no further than one training from the next."
        : " With one seed there is no band to judge it by: how far two trainings drift apart is not known."
    } The CSV has linear CKA, the shift of the mean and MMD² besides.`,
    panels: drawn.map(({ row, points, drift: own }) => onePanel(row, points, own, top)),
    rowOf: 3,
    legend: [],
    key: "line",
    columnsOfCsv: [
      ...["model", "task", "strategy", "seed", "distance", "depth", "features", "Procrustes", "linear CKA"],
      ...["mean shift", "sigma", "MMD² biased", "MMD² unbiased", "flags"],
    ],
    rows: drawn.flatMap(({ row }) =>
      distanceNames.flatMap((name) =>
        (row.distances[name]?.bySeed ?? []).flatMap((one) =>
          (one.depths ?? []).map((depth) => csvRow(one, depth)),
        ),
      ),
    ),
  };
}

function pointsOf(distance: RowDistance | undefined): Point[] {
  const points = (distance?.depths ?? []).flatMap(({ depth, procrustes }) =>
    procrustes === null || !distance
      ? []
      : [{ depth, distance: distance.name, value: procrustes, last: false }],
  );
  const last = points.at(-1);
  if (last) last.last = true;
  return points;
}

function onePanel(row: TaskRow, points: Point[], drift: DriftBetweenSeeds | undefined, top: number): Panel {
  const moved = points.filter(({ distance }) => distance === "D2P");
  const most = moved.reduce<Point | null>(
    (best, one) => (best === null || one.value > best.value ? one : best),
    null,
  );
  const subtitle = most === null ? [] : [`moved most at ${most.depth} (D2P ${fixed(most.value, 3)})`];
  return {
    label: `${taskLabel(row)}, ${row.model}: Procrustes distance by depth. ${subtitle.join("")}`,
    title: taskLabel(row),
    subtitle,
    parts: [{ axis: "Procrustes distance", spec: (width) => lines(points, drift, top, width) }],
  };
}

function lines(
  points: Point[],
  drift: DriftBetweenSeeds | undefined,
  top: number,
  width: number,
): TopLevelSpec {
  const depths = [...new Set(points.map(({ depth }) => depth))];
  const x = {
    field: "depth",
    type: "ordinal" as const,
    scale: { type: "point" as const, domain: depths, padding: 0.6 },
    title: null,
    axis: { labelAngle: 0, grid: false },
  };
  const scale = { domain: [0, top], nice: false };
  const y = (field: string) => ({ field, type: "quantitative" as const, scale });
  const band = (drift?.depths ?? []).flatMap(({ depth, procrustes }) =>
    procrustes === null ? [] : [{ depth, low: procrustes.low, high: procrustes.high }],
  );
  return {
    ...panel(height, width),
    layer: [
      ...(band.length === 0
        ? []
        : [
            {
              name: "band",
              data: { values: band },
              mark: { type: "area" as const, color: roles.band.light, opacity: 1 },
              encoding: {
                x,
                y: { ...y("low"), title: null, axis: numberAxis([0, top]) },
                y2: { field: "high" },
              },
            },
          ]),
      ...distanceNames
        .filter((name) => points.some(({ distance }) => distance === name))
        .map((name) => ({
          name,
          data: { values: points.filter(({ distance }) => distance === name) },
          mark: {
            type: "line" as const,
            color: roles.ink.light,
            strokeWidth: name === "D2P" ? 2.2 : 1.2,
            strokeDash: dashes[name],
            point: { filled: true, color: roles.ink.light, size: name === "D2P" ? 40 : 22 },
          },
          encoding: { x, y: { ...y("value"), title: null, axis: numberAxis([0, top]) } },
        })),
      {
        name: "names",
        data: {
          values: apart(
            points.filter(({ last }) => last),
            top,
          ),
        },
        mark: { type: "text" as const, align: "left" as const, dx: 6, color: roles.ink.light },
        encoding: { x, y: y("at"), text: { field: "distance" } },
      },
    ],
  };
}

/** Names of lines beside their ends, none over another. */
function apart(points: readonly Point[], top: number): (Point & { at: number })[] {
  const least = top * 0.085;
  let below = Number.NEGATIVE_INFINITY;
  return [...points]
    .sort((a, b) => a.value - b.value)
    .map((point) => {
      below = Math.max(point.value, below + least);
      return { ...point, at: below };
    });
}

function csvRow(
  { model, task, strategy, seed, name }: Distance,
  { depth, features, kernel, withoutKernel }: DepthDistance,
) {
  return {
    ...{ model, task, strategy, seed, distance: name, depth, features },
    Procrustes: withoutKernel.procrustes,
    "linear CKA": withoutKernel.linearCka,
    "mean shift": withoutKernel.meanShift,
    sigma: kernel?.sigma ?? null,
    "MMD² biased": kernel?.biased ?? null,
    "MMD² unbiased": kernel?.unbiased ?? null,
    flags: kernel?.flags.join(" ") ?? "",
  };
}
