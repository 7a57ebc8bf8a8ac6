import type { TopLevelSpec } from "vega-lite";
import type { CurveSummary } from "../../results/specification-curve.js";
import { count, grouped, pValue, significant } from "../format.js";
import { html } from "../html.js";
import { roles } from "../palette.js";
import { type Figure, panel, plotRoom } from "./figure.js";

const height = 240;
const lineHeight = 16;
/** Room for the names of choices. */
const namesRoom = { ...plotRoom, left: 158 };

/** Whether distances say something about gains, over all reasonable ways of asking: every r, and what each choice does to it. */
export function specificationsFigure(curve: CurveSummary | undefined): Figure | null {
  if (!curve || curve.median === null) return null;
  const values = curve.quantiles.map((r, index) => ({
    r,
    share: index / Math.max(1, curve.quantiles.length - 1),
  }));
  const finding = `median r = ${significant(curve.median.value, 2)}, joint ${pValue(curve.median.p)}`;
  return {
    name: "specification-curve",
    title: "The relation of distance and gain, asked in every reasonable way",
    caption: html`Pearson’s r over ${count(curve.tasks, "task")} in each of ${grouped(curve.specifications)} specifications: every
choice of model, distance, layer, pooling, normalisation, measure and gain. ${finding[0]?.toUpperCase()}${finding.slice(1)} (${
      curve.method
    }, gains put in another order over the tasks in all specifications alike); ${
      curve.significant === null
        ? null
        : `${grouped(curve.significant.value)} significant in the same direction, joint ${pValue(curve.significant.p)}; `
    }no p below ${significant(curve.leastP, 2)} is possible with so few tasks. ${curve.reason[0]?.toUpperCase()}${curve.reason.slice(1)}. On the right the median r of all specifications with one choice, and where nine in ten of them
lie. specifications.csv beside the report has every specification.`,
    panels: [
      {
        label: `All specifications in the order of r: ${finding}.`,
        title: "All specifications, in the order of r",
        subtitle: [finding],
        parts: [{ axis: "Pearson’s r", spec: (width) => sorted(values, curve.median?.value ?? 0, width) }],
      },
      {
        label: "Median r by choice.",
        title: "By choice",
        parts: [{ spec: (width) => byChoice(curve.choices, width) }],
      },
    ],
    legend: [],
    key: "point",
    columnsOfCsv: ["choice", "value", "specifications", "median r", "5 %", "95 %"],
    rows: [
      ...curve.choices.map(({ choice, value, specifications, median, low, high }) => ({
        ...{ choice, value, specifications },
        ...{ "median r": median, "5 %": low, "95 %": high },
      })),
      ...values.map(({ r, share }) => ({ choice: "share of all", value: share, "median r": r })),
    ],
  };
}

const scaleR = { domain: [-1, 1], nice: false };

function sorted(values: { r: number; share: number }[], median: number, width: number): TopLevelSpec {
  const y = { type: "quantitative" as const, scale: scaleR };
  return {
    ...panel(height, width),
    layer: [
      {
        data: { values: [{ at: 0 }] },
        mark: { type: "rule", color: roles.axis.light },
        encoding: { y: { field: "at", ...y, title: null } },
      },
      {
        data: { values: [{ at: median }] },
        mark: { type: "rule", color: roles.ink.light, strokeDash: [4, 3] },
        encoding: { y: { field: "at", ...y } },
      },
      {
        name: "curve",
        data: { values },
        mark: { type: "line", color: roles.ink.light, strokeWidth: 2 },
        encoding: {
          x: {
            field: "share",
            type: "quantitative",
            scale: { domain: [0, 1], nice: false },
            title: "Share of specifications",
            axis: { tickCount: 4, format: "~%", grid: false },
          },
          y: { field: "r", ...y, title: null },
        },
      },
    ],
  };
}

function byChoice(choices: CurveSummary["choices"], width: number): TopLevelSpec {
  const values = choices.map((one) => ({ ...one, name: nameOf(one) }));
  const names = values.map(({ name }) => name);
  const x = (field: string) => ({ field, type: "quantitative" as const, scale: scaleR });
  const y = {
    field: "name",
    type: "ordinal" as const,
    scale: { type: "point" as const, domain: names, padding: 0.6 },
    title: null,
    axis: { labelLimit: 0, grid: false, ticks: false, domain: false },
  };
  return {
    ...panel(names.length * lineHeight + namesRoom.top + namesRoom.bottom, width, namesRoom),
    layer: [
      {
        data: { values: [{ zero: 0 }] },
        mark: { type: "rule", color: roles.axis.light },
        encoding: { x: { ...x("zero"), title: "Pearson’s r", axis: { tickCount: 4 } } },
      },
      {
        name: "spans",
        data: { values },
        mark: { type: "rule", color: roles.axis.light, strokeWidth: 1.5 },
        encoding: { x: { ...x("low"), title: "Pearson’s r" }, x2: { field: "high" }, y },
      },
      {
        name: "medians",
        data: { values },
        mark: { type: "point", filled: true, color: roles.ink.light, size: 36, opacity: 1 },
        encoding: { x: x("median"), y },
      },
    ],
  };
}

/** A choice in few words; what a model, a layer, a distance or a measure is called says what it is. */
function nameOf({ choice, value }: { choice: string; value: string }): string {
  switch (choice) {
    case "gain over":
      return `over ${value.replaceAll("-", " ")}`;
    case "gain as":
      return `gain as ${value}`;
    case "normalisation":
      return value === "none" ? "not normalised" : value;
    case "pooling":
      return `pooled: ${value}`;
    default:
      return value;
  }
}
