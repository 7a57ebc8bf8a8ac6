import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { averageRanks, pearson, smallestSignificant, spearman } from "../dist/statistics/correlation.js";
import { incompleteBeta, studentTwoSided } from "../dist/statistics/student-t.js";
import { hashFill } from "./hash-fill.js";
import { shared, sharedMissing } from "./shared.js";

interface Case {
  x: number[];
  y: number[];
  r: number;
  p: number;
  ci95: [number, number] | null;
  spearman: number;
}

/** Equal up to `tolerance` of the wanted number itself, however small that is. */
function expectRelative(actual: number | null, wanted: number, tolerance: number) {
  expect(actual).not.toBeNull();
  expect(Math.abs((actual as number) - wanted)).toBeLessThanOrEqual(tolerance * Math.abs(wanted));
}

describe.skipIf(sharedMissing)("golden correlations (needs the shared folder beside the checkout)", () => {
  const { cases } = sharedMissing
    ? { cases: [] }
    : (JSON.parse(readFileSync(shared("parity/numbers/correlation.json"), "utf8")) as { cases: Case[] });

  it.each(cases.map((golden, index) => ({ golden, index, n: golden.x.length })))(
    "SciPy's case $index, of $n points, is met to 1e-9",
    ({ golden }) => {
      const { r, p, interval } = pearson(golden.x, golden.y, { p: "student" });
      expectRelative(r, golden.r, 1e-9);
      expectRelative(p, golden.p, 1e-9);
      if (golden.ci95 === null) expect(interval).toBeNull();
      else {
        expectRelative(interval?.[0] ?? null, golden.ci95[0], 1e-9);
        expectRelative(interval?.[1] ?? null, golden.ci95[1], 1e-9);
      }
      expectRelative(spearman(golden.x, golden.y).r, golden.spearman, 1e-9);
    },
  );
});

describe("Pearson's correlation", () => {
  it("is 1 or -1 on a line, with the p of 2 in 24 orders and an interval without width", () => {
    expect(pearson([1, 2, 3, 4], [10, 20, 30, 40])).toMatchObject({
      r: 1,
      p: 2 / 24,
      method: "exact permutation",
      interval: [1, 1],
      reason: null,
    });
    expect(pearson([1, 2, 3, 4], [8, 6, 4, 2])).toMatchObject({
      r: -1,
      p: 2 / 24,
      interval: [-1, -1],
    });
  });

  it("is 0 with p = 1 for a parabola around its centre", () => {
    const { r, p } = pearson([-2, -1, 0, 1, 2], [4, 1, 0, 1, 4]);
    expect(r).toBe(0);
    expect(p).toBe(1);
  });

  it("does not change with scale and offset, even huge or tiny ones", () => {
    const x = Array.from(hashFill("scale x", 12));
    const y = Array.from(hashFill("scale y", 12), (value, i) => value + (x[i] as number));
    const { r } = pearson(x, y);
    expectRelative(
      pearson(
        x.map((value) => value * 1e200),
        y,
      ).r,
      r as number,
      1e-12,
    );
    expectRelative(
      pearson(
        x.map((value) => value * 1e-200),
        y,
      ).r,
      r as number,
      1e-12,
    );
    expectRelative(
      pearson(
        x.map((value) => 5 + 3 * value),
        y.map((value) => -2 * value),
      ).r,
      -(r as number),
      1e-12,
    );
  });

  it("has no value where a column is constant up to rounding, and says so", () => {
    const constant = pearson([0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [1, 2, 3, 4, 5, 7]);
    expect(constant).toMatchObject({ n: 6, r: null, p: null, interval: null });
    expect(constant.reason).toContain("x is constant");
    expect(pearson([1, 2, 4], [0, 0, 0]).reason).toContain("y is constant");
    expect(pearson([1, 1, 1], [0, 0, 0]).reason).toContain("x and y are constant");
  });

  it("has no interval for three points, and says so", () => {
    const { interval, reason } = pearson([1, 2, 3], [1, 2, 4]);
    expect(interval).toBeNull();
    expect(reason).toContain("four points");
  });

  it.each([
    { name: "too few points", x: [1, 2], y: [1, 2], message: "Expected at least 3 points" },
    { name: "lengths that differ", x: [1, 2, 3], y: [1, 2], message: "received 3 and 2 values" },
    {
      name: "a value that is not finite",
      x: [1, 2, 3],
      y: [1, Number.NaN, 3],
      message: "y[1] but received NaN",
    },
  ])("refuses $name", ({ x, y, message }) => {
    for (const correlation of [pearson, spearman]) {
      expect(() => correlation(x, y)).toThrow(expect.objectContaining({ code: "BAD_INPUT" }));
      expect(() => correlation(x, y)).toThrow(message);
    }
  });
});

describe("Spearman's correlation", () => {
  it("gives equal values their average rank", () => {
    expect(averageRanks([1, 2, 2, 3, 5, 8, 8, 8, 13, 21])).toEqual([1, 2.5, 2.5, 4, 5, 7, 7, 7, 9, 10]);
    expect(averageRanks([3, 1, 2])).toEqual([3, 1, 2]);
  });

  it("agrees with scipy.stats.spearmanr under ties", () => {
    const { r, p } = spearman([1, 2, 2, 3, 5, 8, 8, 8, 13, 21], [2, 1, 4, 3, 7, 5, 9, 9, 10, 8], {
      p: "student",
    });
    expectRelative(r, 0.8395701571521513, 1e-12); // SciPy 1.x
    expectRelative(p, 0.0023766395660806635, 1e-12);
  });

  it("sees order only", () => {
    const x = Array.from(hashFill("order", 20));
    const { r, p } = spearman(
      x,
      x.map((value) => Math.exp(5 * value)),
    );
    expect(r).toBeCloseTo(1, 14);
    expect(p).toBe(1 / 10_000); // none of 9,999 drawn orders reaches it
  });
});

describe("Student's t and the incomplete beta function", () => {
  // 2 * scipy.stats.t.sf(|t|, n - 2)
  it.each([
    { r: 0.99999, n: 40, p: 6.740997676697917e-91 },
    { r: 0.1, n: 3, p: 0.9362314391414803 },
    { r: -0.5, n: 200, p: 4.773811780669232e-14 },
    { r: 0.02, n: 1000, p: 0.5275648290415019 },
    { r: 0.9, n: 102, p: 7.643612999079564e-38 },
  ])("r = $r over $n points has SciPy's p", ({ r, n, p }) => {
    expectRelative(studentTwoSided({ squared: r ** 2 * (n - 2), over: (1 - r) * (1 + r) }, n - 2), p, 1e-10);
  });

  // scipy.special.betainc
  it.each([
    { x: 0.3, a: 2, b: 3, value: 0.3483 },
    { x: 0.9, a: 0.5, b: 0.5, value: 0.7951672353008665 },
    { x: 0.01, a: 10, b: 0.5, value: 1.770034965528571e-21 },
    { x: 0.5, a: 49, b: 0.5, value: 1.9999665664513474e-16 },
    { x: 0.97, a: 60.5, b: 0.5, value: 0.05538673239677496 },
  ])("I_$x($a, $b) is SciPy's", ({ x, a, b, value }) => {
    expectRelative(incompleteBeta(x, 1 - x, a, b), value, 1e-12);
  });

  it("t with one degree of freedom is Cauchy's distribution", () => {
    for (const t of [0.1, 1, 10, 1000]) {
      const wanted = 1 - (2 / Math.PI) * Math.atan(t);
      expectRelative(studentTwoSided({ squared: t ** 2, over: 1 }, 1), wanted, 1e-10);
    }
  });
});

describe("the smallest significant correlation", () => {
  // scipy.stats.t.isf(0.025, n - 2), turned into r
  it.each([
    { n: 3, r: 0.996917333733128 },
    { n: 4, r: 0.95 },
    { n: 5, r: 0.8783394481598052 },
    { n: 10, r: 0.6318968647198339 },
    { n: 30, r: 0.361006907733233 },
    { n: 100, r: 0.19655119559322565 },
  ])("of $n points is $r", ({ n, r }) => {
    expectRelative(smallestSignificant(n), r, 1e-10);
  });

  it("grows where more certainty is asked for", () => {
    expectRelative(smallestSignificant(10, 0.01), 0.7645924966620959, 1e-10);
  });

  it("refuses two points, and an alpha that is no probability", () => {
    expect(() => smallestSignificant(2)).toThrow("at least 3 points for n but received 2");
    expect(() => smallestSignificant(5, 0)).toThrow("between 0 and 1 for alpha but received 0");
  });
});
