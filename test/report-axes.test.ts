import { describe, expect, it } from "vitest";
import { taskCurvesFigure } from "../dist/report/figures/curves.js";
import { drawFigure, readableDomain } from "../dist/report/figures/figure.js";
import { gainDomain } from "../dist/report/figures/gain.js";
import { summarise } from "../dist/report/summary.js";
import { studyResults } from "./report-fixture.js";

describe("an axis", () => {
  it("has a height where all values are equal, and shows nothing below 0 that never is", () => {
    expect(readableDomain([0, 0, 0])).toEqual([0, 0.1]);
    const [low, high] = readableDomain([0.5, 0.5]);
    expect(high - low).toBeCloseTo(0.005, 12);
    expect((low + high) / 2).toBeCloseTo(0.5, 12);
    expect(readableDomain([1, 3])).toEqual([1, 3]);
  });

  it("of gains is not stretched by one that is far beyond the others", () => {
    const gain = (percent: number) => ({ percent, low: percent - 1, high: percent + 1 });
    // Four times the median size of 4 % is 16 %.
    expect(gainDomain([gain(2), gain(3), gain(4), gain(-100), gain(300)])).toEqual([-16, 16]);
    expect(gainDomain([gain(2), gain(3), gain(4)])).toEqual([0, 5]);
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
