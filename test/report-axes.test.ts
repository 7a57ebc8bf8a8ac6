import { describe, expect, it } from "vitest";
import { taskCurvesFigure } from "../dist/report/figures/curves.js";
import { drawFigure, readableDomain } from "../dist/report/figures/figure.js";
import { gainDomain } from "../dist/report/figures/gain.js";
import { summarise } from "../dist/report/report-summary.js";
import { studyResults } from "./report-fixture.js";

describe("an axis", () => {
  it("has a height where all values are equal, and shows nothing below 0 that never is", () => {
    expect(readableDomain([0, 0, 0])).toEqual([0, 0.1]);
    const [low, high] = readableDomain([0.5, 0.5]);
    expect(high - low).toBeCloseTo(0.005, 12);
    expect((low + high) / 2).toBeCloseTo(0.5, 12);
    expect(readableDomain([1, 3])).toEqual([1, 3]);
  });

  it("of gains holds every difference and the margins, but not intervals almost without end", () => {
    const gain = (estimate: number, half: number) => ({
      estimate,
      low: estimate - half,
      high: estimate + half,
    });
    expect(gainDomain([gain(0.2, 0.1), gain(-0.1, 0.1)])).toEqual([-1.6, 1.6]);
    expect(gainDomain([gain(4, 2), gain(-3, 1)])).toEqual([-4, 6]);
    // Three times the largest difference: 60 margins.
    expect(gainDomain([gain(20, 500), gain(1, 2)])).toEqual([-60, 60]);
    expect(gainDomain([{ estimate: 2, low: null, high: null }])).toEqual([-1.6, 2]);
  });

  it("of a constant validation metric leaves its panel as high as any other", async () => {
    const results = studyResults({ tasks: ["super-resolution"] });
    const heights: number[] = [];
    for (const constant of [false, true]) {
      if (constant)
        for (const { result } of results.cells)
          for (const epoch of result?.curve ?? []) epoch.validationMetric = 0;
      const figure = taskCurvesFigure(summarise(results), { task: "super-resolution", strategy: "direct" });
      const { svgs } = await drawFigure(figure as NonNullable<typeof figure>, () => null);
      heights.push(Number(/height="([\d.]+)mm"/.exec(svgs[0]?.[1] ?? "")?.[1]));
    }
    expect(heights[0]).toBeGreaterThan(80);
    expect(heights[1]).toBe(heights[0]);
  });
});
