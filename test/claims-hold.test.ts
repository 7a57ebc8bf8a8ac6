import { beforeAll, describe, expect, it } from "vitest";
import type { Claim } from "../dist/results/claims.js";
import { computeClaims } from "../dist/statistics/claims.js";
import { simulateClaims, simulateStudy } from "../dist/statistics/simulation.js";

/** Studies whose truth is known: the tool's own code, from cells' numbers to verdicts. */
function* studies(count: number) {
  const seeds = [1, 2, 3, 5, 10];
  const patients = [10, 37, 148];
  const runs = [0, 0.3, 1, 3]; // the spread between trainings over that between patients
  for (let study = 0; study < count; study++) {
    const settings = {
      seeds: seeds[study % 5] as number,
      patients: patients[Math.floor(study / 5) % 3] as number,
      casesPerPatient: 1 + (Math.floor(study / 60) % 4),
      runSpread: 0.05 * (runs[Math.floor(study / 15) % 4] as number),
      patientSpread: 0.05,
      restSpread: 0.03,
    };
    yield { settings, claims: simulateClaims(settings, 11, study) };
  }
}

const drawn = 800;
/** As far as 999 of 1,000 shares of so many go from the true one. */
const error = (count: number) => 3.1 * Math.sqrt((0.05 * 0.95) / count);

describe(`${drawn} studies in which pretraining changes nothing`, () => {
  let supported = 0;
  const covered = new Map<number, { yes: number; all: number }>();

  beforeAll(() => {
    for (const { settings, claims } of studies(drawn)) {
      if (claims.some(({ verdict }: Claim) => verdict === "supported")) supported++;
      for (const { difference } of claims) {
        if (difference.low === null || difference.high === null) continue;
        const count = covered.get(settings.seeds) ?? { yes: 0, all: 0 };
        covered.set(settings.seeds, count);
        count.all++;
        if (difference.low <= 0 && difference.high >= 0) count.yes++;
      }
    }
  }, 600_000);

  it("have a claim that is called supported in at most 5 of 100", () => {
    expect(supported / drawn).toBeLessThan(0.05 + error(drawn));
  });

  it("have intervals that cover the truth: 93 to 97 of 100 from five seeds, at least 90 with fewer", () => {
    const many = { yes: 0, all: 0 };
    for (const [seeds, { yes, all }] of covered) {
      expect(yes / all, `${seeds} seeds`).toBeGreaterThan((seeds >= 5 ? 0.93 : 0.9) - error(all));
      if (seeds < 5) continue;
      expect(yes / all, `${seeds} seeds`).toBeLessThan(0.97 + error(all));
      many.yes += yes;
      many.all += all;
    }
    expect(many.yes / many.all).toBeGreaterThan(0.93);
    expect(many.yes / many.all).toBeLessThan(0.97);
    expect([...covered.keys()].sort((a, b) => a - b)).toEqual([2, 3, 5, 10]);
  });
});

describe("studies whose spreads are small enough to call models equal", () => {
  it("call a difference of just the margin, of either sign, practically equal in at most 5 of 100", () => {
    const [studies, equal] = [300, { of: 0, inside: 0 }];
    for (let study = 0; study < studies; study++) {
      const spread = [0.003, 0.01][study % 2] as number;
      const settings = {
        ...{ tasks: 1, seeds: [3, 5, 10][study % 3] as number, patients: 37 },
        ...{ runSpread: 0.3 * spread, patientSpread: spread, restSpread: spread },
      };
      const is = (gain: number) => {
        const cells = simulateStudy({ ...settings, gain }, 13, study);
        const [claim] = computeClaims(cells, { margins: { "pirads-classification": 0.01 } });
        return claim?.verdict === "practically-equal";
      };
      if (is(study % 4 < 2 ? 0.01 : -0.01)) equal.of++;
      if (is(0.002)) equal.inside++;
    }
    expect(equal.of / studies).toBeLessThan(0.05 + error(studies));
    // The test is not merely silent: what lies well inside of the margin is called so.
    expect(equal.inside / studies).toBeGreaterThan(0.7);
  }, 240_000);
});

describe("studies in which pretraining helps", () => {
  it("are found to do so where seeds and patients are many enough", () => {
    const settings = {
      tasks: 1,
      seeds: 5,
      patients: 148,
      gain: 0.05,
      runSpread: 0.02,
      patientSpread: 0.05,
      restSpread: 0.03,
    };
    const found = Array.from({ length: 100 }, (_, study) => simulateClaims(settings, 12, study)[0]?.verdict);
    expect(found.filter((verdict) => verdict === "supported").length).toBeGreaterThan(80);
    expect(found).not.toContain("contradicted");
  });
});
