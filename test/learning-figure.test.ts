import { describe, expect, it } from "vitest";
import { learningFigure } from "../dist/report/figures/learning.js";
import type { CurvePoint, LearningCurve } from "../dist/results/learning-curves.js";

const point = (comparator: CurvePoint["comparator"], patients: number): CurvePoint => ({
  ...{ comparator, patients, seeds: [1, 2], mean: 0.7, low: 0.6, high: 0.8, seconds: 1 },
});
const curveOf = (patients: number[]): LearningCurve => ({
  ...{ task: "super-resolution", strategy: "direct", model: "ProFound", metric: "SSIM", worth: null },
  points: (["fine-tuned", "from-scratch", "trivial"] as const).flatMap((name) =>
    patients.map((one) => point(name, one)),
  ),
});
type Placed = CurvePoint & { place: number };
const placedOf = (patients: number[]): Placed[] => {
  const spec = learningFigure([curveOf(patients)])?.panels[0]?.parts[0]?.spec?.(300) as unknown;
  return (spec as { data: { values: Placed[] } }).data.values;
};

describe("the figure of learning curves", () => {
  it("stands comparators side by side, so that no interval hides another, and near their number of patients", () => {
    const placed = placedOf([25, 100, 400]);
    for (const patients of [25, 100, 400]) {
      const places = placed.filter((one) => one.patients === patients).map(({ place }) => place);
      expect(new Set(places).size).toBe(3);
      for (const place of places) expect(Math.abs(Math.log(place / patients))).toBeLessThan(0.1);
      expect(Math.log(places[0] as number) + Math.log(places[2] as number)).toBeCloseTo(
        2 * Math.log(patients),
        9,
      );
    }
  });

  it("draws a single number of patients where it is", () => {
    expect(placedOf([40]).map(({ place }) => place)).toEqual([40, 40, 40]);
  });
});
