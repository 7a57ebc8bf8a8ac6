import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { crossedDifference, crossedPair } from "../dist/statistics/crossed.js";

interface Golden {
  first: number[][];
  second: number[][];
  mean: number;
  seeds: number;
  patients: number;
  rest: number;
}
// Made with statsmodels' MixedLM by test/oracles/mixed_model.py.
const goldens = JSON.parse(
  readFileSync(new URL("oracles/mixed_model.json", import.meta.url), "utf8"),
) as Golden[];

describe("the spread of a difference over crossed seeds and patients", () => {
  it.each(
    goldens.map((golden) => ({ ...golden, of: `${golden.first.length} x ${golden.first[0]?.length}` })),
  )(
    "is what statsmodels' mixed model has by REML, to 1e-6 ($of)",
    ({ first, second, mean, seeds, patients, rest }) => {
      const { estimate, deviations } = crossedDifference(crossedPair(first, second)) as NonNullable<
        ReturnType<typeof crossedDifference>
      >;
      expect(Math.abs(estimate - mean)).toBeLessThan(1e-6);
      for (const [own, other] of [
        [deviations.seeds ** 2, seeds],
        [deviations.patients ** 2, patients],
        [deviations.rest ** 2, rest],
      ] as const) {
        expect(other).toBeGreaterThan(1e-5);
        expect(Math.abs(own - other)).toBeLessThan(1e-6);
        expect(Math.abs(own / other - 1)).toBeLessThan(1e-3);
      }
    },
  );
});
