import { beforeAll, describe, expect, it } from "vitest";
import type { Claim } from "../dist/results/claims.js";
import { computeClaims } from "../dist/statistics/claims.js";
import { dividedDifference, expectedOfDivisions } from "../dist/statistics/divided.js";
import { simulateClaims, simulateStudy } from "../dist/statistics/simulation.js";
import { studentQuantile, studentTwoSided } from "../dist/statistics/student-t.js";

describe("the mean difference over divisions of the patients", () => {
  // By hand: differences .05, .01, .03, so a mean of .03 and a variance of .0004; 10 of 40 patients are tested.
  const [first, second] = [
    [0.75, 0.71, 0.76],
    [0.7, 0.7, 0.73],
  ];
  const answer = dividedDifference(first, second, { patients: 40, tested: 10 });

  it("has the corrected resampled variance (Nadeau & Bengio 2003), and Student's t of one degree less than divisions", () => {
    const error = Math.sqrt(0.0004 * (1 / 3 + 10 / 30));
    expect(answer?.estimate).toBeCloseTo(0.03, 12);
    expect(answer?.standardError).toBeCloseTo(error, 12);
    // scipy.stats.t: ppf(0.975, 2) and 2 * sf(0.03 / error, 2)
    const t = 4.302652729911275;
    const [low, high] = answer?.interval(0.95) ?? [];
    expect(low).toBeCloseTo(0.03 - t * error, 9);
    expect(high).toBeCloseTo(0.03 + t * error, 9);
    const ratio = 0.03 / error;
    // Two degrees have a closed form: P(|T| > t) = 1 - t / sqrt(2 + t²).
    expect(answer?.p).toBeCloseTo(1 - ratio / Math.sqrt(2 + ratio ** 2), 12);
  });

  it("has a ratio whose set leaves out 1 exactly where the interval leaves out 0", () => {
    for (let shift = -0.2; shift <= 0.2; shift += 0.005) {
      const moved = dividedDifference(
        first.map((value) => value + shift),
        second,
        { patients: 40, tested: 10 },
      );
      const [low, high] = moved?.interval(0.95) ?? [0, 0];
      const set = moved?.ratio(0.95);
      expect(set).not.toBeNull();
      expect((set?.low as number) > 1).toBe(low > 0);
      expect((set?.high as number) < 1).toBe(high < 0);
    }
  });

  it("is unknown from one division, and refused where nobody is left to train on", () => {
    expect(dividedDifference([0.5], [0.4], { patients: 40, tested: 10 })).toBeNull();
    expect(() => dividedDifference(first, second, { patients: 10, tested: 10 })).toThrow(
      /fewer tested patients/,
    );
    expect(() => dividedDifference(first, [0.1], { patients: 40, tested: 10 })).toThrow(/for every division/);
  });

  it("rests on quantiles that invert Student's t", () => {
    for (const degrees of [1, 2, 7, 30])
      for (const probability of [0.001, 0.05, 0.1, 0.7])
        expect(
          studentTwoSided({ squared: studentQuantile(probability, degrees) ** 2, over: 1 }, degrees),
        ).toBeCloseTo(probability, 10);
    expect(studentQuantile(0.05, 1)).toBeCloseTo(12.706204736432095, 9); // tan(0.475 π)
  });
});

describe("a study whose seeds divide the patients anew", () => {
  const cells = simulateStudy(
    {
      tasks: 1,
      seeds: 3,
      patients: 40,
      tested: 10,
      runSpread: 0.01,
      patientSpread: 0.05,
      restSpread: 0.02,
      gain: 0.1,
    },
    3,
  );

  it("has claims of the mean over divisions, of the patients that any of them tests", () => {
    const [claim] = computeClaims(cells) as [Claim];
    const side = (comparator: string) =>
      cells.filter((cell) => cell.comparator === comparator).map(({ metric }) => metric.mean as number);
    const differences = side("fine-tuned").map((value, s) => value - (side("from-scratch")[s] as number));
    const mean = differences.reduce((sum, value) => sum + value, 0) / 3;
    expect(claim.difference.estimate).toBeCloseTo(mean, 12);
    const patients = new Set(cells.flatMap(({ metric }) => metric.cases.map(({ patient }) => patient)));
    expect(claim).toMatchObject({ dividedAnew: true, seeds: [1, 2, 3], patients: patients.size });
    expect(patients.size).toBeGreaterThan(10);
    expect(claim.difference.deviations).toBeNull();
    expect(claim.reason).toMatch(/over 3 divisions of the patients/);
  });

  it("compares with what takes no network of the same division alone", () => {
    const trivial = cells
      .filter(({ comparator }) => comparator === "from-scratch")
      .map((cell) => ({
        ...cell,
        id: `trivial ${cell.seed}`,
        model: "none",
        comparator: "trivial" as const,
      }));
    const [over] = computeClaims([...cells, ...trivial]).filter(({ reference }) => reference === "trivial");
    const [scratch] = computeClaims(cells);
    expect(over?.difference).toEqual(scratch?.difference);
  });
});

it("half the width of its interval is expected before it is run: within a tenth of what 300 studies came to", () => {
  for (const [seeds, runSpread] of [
    [3, 0.01],
    [5, 0.03],
    [10, 0],
  ] as const) {
    const spreads = { seeds: runSpread, patients: 0.05, rest: 0.03 };
    const settings = {
      tasks: 1,
      seeds,
      patients: 100,
      tested: 20,
      runSpread,
      patientSpread: 0.05,
      restSpread: 0.03,
    };
    let sum = 0;
    for (let study = 0; study < 300; study++) {
      const [{ difference }] = simulateClaims(settings, 5, study) as [Claim];
      sum += ((difference.high as number) - (difference.low as number)) / 2 / 300;
    }
    const { halfWidth } = expectedOfDivisions(spreads, seeds, { patients: 100, tested: 20 });
    expect(Math.abs(halfWidth / sum - 1)).toBeLessThan(0.1);
  }
});

describe("1,000 such studies in which pretraining changes nothing", () => {
  let supported = 0;
  const covered = { yes: 0, all: 0 };
  /** Intervals of the t test that takes divisions for independent, where it is patients alone that differ. */
  const naive = { yes: 0, all: 0 };

  beforeAll(() => {
    for (let study = 0; study < 1000; study++) {
      const seeds = [2, 3, 5, 10][study % 4] as number;
      const [patients, tested] = [
        [40, 10],
        [100, 20],
        [185, 37],
        [60, 30],
      ][Math.floor(study / 4) % 4] as [number, number];
      const runSpread = 0.05 * ([0, 0.3, 1, 3][Math.floor(study / 16) % 4] as number);
      const settings = { seeds, patients, tested, runSpread, patientSpread: 0.05, restSpread: 0.03 };
      const claims = simulateClaims({ ...settings, casesPerPatient: 1 + (study % 3) }, 17, study);
      if (claims.some(({ verdict }) => verdict === "supported")) supported++;
      for (const { difference } of claims) {
        covered.all++;
        if ((difference.low as number) <= 0 && (difference.high as number) >= 0) covered.yes++;
        if (runSpread > 0) continue;
        const scale = Math.sqrt(1 / seeds / (1 / seeds + tested / (patients - tested)));
        const half = ((difference.high as number) - (difference.low as number)) / 2;
        if (Math.abs(difference.estimate) <= scale * half) naive.yes++;
        naive.all++;
      }
    }
  }, 300_000);

  it("have a claim that is called supported in at most 5 of 100", () => {
    expect(supported).toBeLessThanOrEqual(73); // the 99.9 % bound of a binomial of 1,000 at 5 %
  });

  it("have intervals that cover the truth, where divisions taken for independent do not", () => {
    expect(covered.yes / covered.all).toBeGreaterThan(0.94);
    expect(naive.yes / naive.all).toBeLessThan(0.87);
  });
});
