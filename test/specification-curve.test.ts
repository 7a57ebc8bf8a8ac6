import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { jointCorrelation } from "../dist/statistics/joint-correlation.js";
import { specificationCurve } from "../dist/statistics/specification-curve.js";

interface Golden {
  name: string;
  specifications: { x: (number | null)[]; y: (number | null)[] }[];
  r: number[];
  statistics: { median: number; significant: number; averageZ: number };
  p: { median: number; significant: number; averageZ: number };
  orders: number;
}
// Made by test/oracles/specification_curve.py, which goes through every order with itertools.
const golden = JSON.parse(
  readFileSync(new URL("oracles/specification_curve.json", import.meta.url), "utf8"),
) as Golden[];

const named = (columns: { x: (number | null)[]; y: (number | null)[] }[]) =>
  columns.map((one, index) => ({ choices: { layer: `stage ${index}` }, ...one }));

describe("a specification curve", () => {
  it.each(golden)("has the joint p of every order gone through: $name", (one) => {
    const curve = specificationCurve(named(one.specifications));
    for (const [index, r] of one.r.entries())
      expect(Math.abs((curve.specifications[index]?.r as number) - r)).toBeLessThan(1e-12);
    for (const key of ["median", "significant", "averageZ"] as const) {
      expect(Math.abs((curve[key]?.value as number) - one.statistics[key])).toBeLessThan(1e-9);
      expect(Math.abs((curve[key]?.p as number) - one.p[key])).toBeLessThan(1e-12);
    }
    expect(curve).toMatchObject({
      method: "exact permutation",
      orders: one.orders,
      leastP: 1 / one.orders,
      verdict: "undetermined",
    });
    expect(curve.reason).toContain("tasks");
  });

  it("of one specification has that one's own p", () => {
    const x = [0.3, 0.9, 0.1, 0.5, 0.7];
    const y = [3, 8, 2, 4, 7];
    const { median } = specificationCurve(named([{ x, y }]));
    const { p } = jointCorrelation([{ x, y }]);
    expect(median?.p).toBeCloseTo(p as number, 12);
  });

  it("of five tasks can have no p below 1 in 120, and of eight a supported one", () => {
    const line = (n: number) => Array.from({ length: n }, (_, i) => i);
    const five = specificationCurve(named([{ x: line(5), y: line(5) }]));
    expect(five).toMatchObject({
      leastP: 1 / 120,
      verdict: "undetermined",
      reason: "undecided: under 8 tasks",
    });
    expect(five.median?.p).toBeCloseTo(2 / 120, 12); // all the other way round is as much
    const eight = specificationCurve(named([{ x: line(8), y: line(8) }]));
    expect(eight).toMatchObject({
      method: "permutation",
      orders: 1_999,
      leastP: 1 / 2_000,
      verdict: "supported",
    });
  });

  it("under no relation lies below alpha no more often than alpha, however many specifications there are", () => {
    const studies = 800;
    const below = { median: 0, significant: 0, averageZ: 0 };
    for (let study = 0; study < studies; study++) {
      const random = randomStream(study, "no relation in any specification");
      const y = Array.from({ length: 5 }, () => Math.exp(random.normal()));
      const shared = y.map(() => random.normal());
      const curve = specificationCurve(
        named(
          Array.from({ length: 15 }, () => ({ x: shared.map((value) => value + 0.7 * random.normal()), y })),
        ),
      );
      for (const key of ["median", "significant", "averageZ"] as const)
        if ((curve[key]?.p as number) <= 0.05) below[key]++;
    }
    const most = studies * 0.05 + 3.3 * Math.sqrt(studies * 0.05 * 0.95);
    for (const count of Object.values(below)) expect(count).toBeLessThanOrEqual(most);
  }, 60_000);

  it("leaves out what is undefined, and says how much that is", () => {
    const curve = specificationCurve(
      named([
        { x: [1, 2, 4, 3], y: [1, 3, 5, 2] },
        { x: [1, 1, 1, 1], y: [1, 3, 5, 2] },
        { x: [1, null, null, 3], y: [1, 3, 5, 2] },
      ]),
    );
    expect(curve.specifications).toHaveLength(1);
    expect(curve.undefined).toBe(2);
    const nothing = specificationCurve(named([{ x: [1, 1, 1], y: [1, 2, 3] }]));
    expect(nothing).toMatchObject({ median: null, significant: null, averageZ: null });
    expect(nothing.reason).toContain("no specification is defined");
    expect(specificationCurve([])).toMatchObject({ tasks: 0, median: null, specifications: [] });
  });

  it("refuses tasks that are not the same in all specifications", () => {
    expect(() =>
      specificationCurve(
        named([
          { x: [1, 2, 3], y: [1, 2, 3] },
          { x: [1, 2], y: [1, 2] },
        ]),
      ),
    ).toThrow("specifications[1].x");
    expect(() => specificationCurve(named([{ x: [1, 2, Number.NaN], y: [1, 2, 3] }]))).toThrow("x[2]");
  });
});
