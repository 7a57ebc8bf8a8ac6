import type { CurveSummary } from "../results/specification-curve.js";
import { quantile } from "./sample-statistics.js";
import type { SpecificationCurve, SpecificationEstimate } from "./specification-curve.js";

/** Points of the curve that stand in the results. */
const mostQuantiles = 201;

/** A specification curve as results hold it: its tests, its shape, and what each choice does to r. */
export function summaryOf(curve: SpecificationCurve): CurveSummary {
  const { specifications, undefined: without, ...tests } = curve;
  const rs = specifications.map(({ r }) => r);
  return {
    ...tests,
    specifications: specifications.length,
    undefined: without,
    quantiles: quantilesOf(rs),
    choices: choicesOf(specifications),
  };
}

/** @param sorted in ascending order */
function quantilesOf(sorted: readonly number[]): number[] {
  if (sorted.length <= mostQuantiles) return [...sorted];
  return Array.from({ length: mostQuantiles }, (_, i) => quantile(sorted, i / (mostQuantiles - 1)));
}

/** In the order in which choices and their values come in the study. */
function choicesOf(specifications: readonly SpecificationEstimate[]): CurveSummary["choices"] {
  const byChoice = new Map<string, Map<string, number[]>>();
  for (const { choices, r } of specifications) {
    for (const [choice, value] of Object.entries(choices)) {
      const values = byChoice.get(choice) ?? new Map<string, number[]>();
      byChoice.set(choice, values);
      const list = values.get(value) ?? [];
      values.set(value, list);
      list.push(r);
    }
  }
  return [...byChoice].flatMap(([choice, values]) =>
    [...values]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([value, rs]) => ({
        ...{ choice, value, specifications: rs.length },
        ...{ median: quantile(rs, 0.5), low: quantile(rs, 0.05), high: quantile(rs, 0.95) },
      })),
  );
}
