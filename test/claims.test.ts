import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import type { CellResult } from "../dist/results/cell.js";
import { computeClaims } from "../dist/statistics/claims.js";
import { simulateClaims, simulateStudy } from "../dist/statistics/simulation.js";
import { specificityAtSensitivity } from "../dist/tasks/metrics.js";

const quiet = { runSpread: 0.005, patientSpread: 0.02, restSpread: 0.01 };
const one = { tasks: 1, seeds: 5, patients: 40, ...quiet };

describe("the verdict on a claim", () => {
  it("is supported where the gain is far beyond seeds and patients", () => {
    const [claim] = simulateClaims({ ...one, gain: 0.05 }, 1);
    expect(claim).toMatchObject({
      verdict: "supported",
      reference: "from-scratch",
      patients: 40,
      seeds: [1, 2, 3, 4, 5],
    });
    expect(claim?.difference.low).toBeGreaterThan(0);
    expect(claim?.reason).toMatch(/^95 % interval \+0\.0\d+ to \+0\.0\d+ over 5 seeds and 40 patients$/);
  });

  it("is contradicted where the fine-tuned model is worse, and says so", () => {
    expect(simulateClaims({ ...one, gain: -0.05 }, 1)[0]).toMatchObject({ verdict: "contradicted" });
  });

  it("is practically equal where both ends lie within the margin, which a study sets", () => {
    const cells = simulateStudy({ ...one, patients: 200, gain: 0 }, 1);
    const task = cells[0]?.task as CellResult["task"];
    expect(computeClaims(cells, { margins: { [task]: 0.05 } })[0]).toMatchObject({
      verdict: "practically-equal",
      equivalence: { margin: 0.05 },
    });
    expect(computeClaims(cells, { margins: { [task]: 0.0001 } })[0]?.verdict).toBe("undetermined");
  });

  it("is undetermined from one seed, whatever the difference, and has no interval", () => {
    const [claim] = simulateClaims({ ...one, seeds: 1, gain: 0.3 }, 1);
    expect(claim).toMatchObject({
      verdict: "undetermined",
      reason: expect.stringMatching(/^one seed: how much the result moves/),
      difference: { low: null, high: null, standardError: null, deviations: null },
      p: null,
    });
    expect(claim?.percent?.low).toBeNull();
    expect(claim?.percent?.estimate).toBeGreaterThan(20);
  });

  it("is undetermined from one patient, and where neither model learnt anything", () => {
    expect(simulateClaims({ ...one, patients: 1, gain: 0.3 }, 1)[0]?.reason).toMatch(/^one patient/);
    const [unlearnt] = simulateClaims(
      { ...one, reference: 0.001, gain: 0.01, runSpread: 0, patientSpread: 0, restSpread: 1e-4 },
      1,
    );
    expect(unlearnt).toMatchObject({
      verdict: "undetermined",
      reason: expect.stringMatching(/^neither reaches 0.05/),
    });
  });

  it("takes into account how many claims were made: what one alone would support, many may not", () => {
    const settings = { ...one, seeds: 4, patients: 10, gain: 0.012, patientSpread: 0.012, restSpread: 0.004 };
    const counts = [1, 6].map(
      (models) =>
        Array.from({ length: 40 }, (_, study) => simulateClaims({ ...settings, models, tasks: 5 }, 3, study))
          .flat()
          .filter(({ model, verdict }) => model === "model 0" && verdict === "supported").length,
    ) as [number, number];
    expect(counts[1]).toBeLessThan(counts[0]);
  });
});

describe("what a claim rests on", () => {
  it("is the patient: one with many cases weighs as much as one with few", () => {
    const cells = simulateStudy({ ...one, seeds: 2, patients: 3 }, 1);
    for (const { comparator, metric } of cells) {
      const value = comparator === "fine-tuned" ? 1 : 0;
      metric.cases = [
        ...["a", "b", "c", "d"].map((id) => ({ case: id, patient: "many", value })),
        { case: "e", patient: "few", value: 0 },
        { case: "f", patient: "other", value: 0 },
      ];
    }
    expect(computeClaims(cells)[0]).toMatchObject({
      patients: 3,
      cases: 6,
      difference: { estimate: 1 / 3 },
      better: 1,
    });
  });

  it("is the seeds that both have, and the cases that all have a value of", () => {
    const cells = simulateStudy({ ...one, seeds: 4, patients: 10 }, 1).filter(
      ({ comparator, seed }) => !(comparator === "from-scratch" && seed === 2),
    );
    const first = cells[0]?.metric.cases[0];
    if (first) first.value = null;
    expect(computeClaims(cells)[0]).toMatchObject({ seeds: [1, 3, 4], patients: 9, cases: 9 });
  });

  it("gives one percentage, the ratio of the two means over the same seeds, which never contradicts the difference", () => {
    // Seeds .40 / .20 and .50 / .80: the mean of their ratios is +31 %, though the mean is lower.
    const cells = simulateStudy(
      { ...one, seeds: 2, patients: 4, runSpread: 0, patientSpread: 0, restSpread: 0 },
      1,
    );
    const means = { "fine-tuned": [0.4, 0.5], "from-scratch": [0.2, 0.8] } as Record<string, number[]>;
    for (const { comparator, seed, metric } of cells) {
      const mean = means[comparator]?.[seed - 1] as number;
      metric.cases = metric.cases.map((one, i) => ({ ...one, value: mean + 0.001 * i }));
    }
    const [claim] = computeClaims(cells);
    expect(claim?.difference.estimate).toBeCloseTo(-0.05, 12);
    expect(claim?.percent ?? { estimate: -10 }).toMatchObject({ estimate: expect.closeTo(-10, 0) });
    expect(claim?.verdict).toBe("undetermined");
  });

  it("takes the spread between few seeds from all models of a task", () => {
    const cells = simulateStudy({ ...one, seeds: 2, patients: 20, models: 8 }, 5);
    const alone = cells.filter(({ model }) => model === "model 0");
    const [own] = computeClaims(alone);
    const [pooled] = computeClaims(cells);
    const width = (claim: typeof own) =>
      (claim?.difference.high as number) - (claim?.difference.low as number);
    expect(width(pooled)).toBeLessThan(width(own));
  });
});

describe("a claim about specificity, which only a whole test set has", () => {
  /** Positives score higher by `skill`; both models by streams of their own. */
  const cells = (skills: { "fine-tuned": number; "from-scratch": number }, seeds: number): CellResult[] => {
    const [template] = simulateStudy({ ...one, seeds: 1, patients: 2 }, 1) as [CellResult];
    return Array.from({ length: seeds }, (_, index) => index + 1).flatMap((seed) =>
      (["fine-tuned", "from-scratch"] as const).map((comparator) => {
        const stream = randomStream(7, comparator, seed);
        const cases = Array.from({ length: 80 }, (_, i) => ({
          case: String(i),
          positive: i % 2 === 0,
          value: (i % 2 === 0 ? skills[comparator] : 0) + stream.normal(),
        }));
        const labels = cases.map(({ positive }) => positive);
        const mean = specificityAtSensitivity(
          labels,
          cases.map(({ value }) => value),
          0.9,
        );
        const metric = {
          name: "Specificity at sensitivity 0.9",
          mean,
          standardDeviation: null,
          cases,
          secondary: {},
        };
        return {
          ...template,
          task: "pirads-classification" as const,
          strategy: "direct" as const,
          comparator,
          seed,
          metric,
        };
      }),
    );
  };

  it("has an interval and a verdict from three seeds on", () => {
    const [claim] = computeClaims(cells({ "fine-tuned": 4, "from-scratch": 0.5 }, 5));
    expect(claim).toMatchObject({ verdict: "supported", patients: 80, seeds: [1, 2, 3, 4, 5] });
    expect(claim?.difference.low).toBeGreaterThan(0);
    expect(claim?.p).toBeLessThan(0.05);
  });

  it("is undetermined where two models are alike, and with two seeds", () => {
    const [alike] = computeClaims(cells({ "fine-tuned": 1, "from-scratch": 1 }, 3));
    expect(alike?.verdict).toBe("undetermined");
    expect((alike?.difference.low as number) < 0 && (alike?.difference.high as number) > 0).toBe(
      (alike?.p as number) > 0.05,
    );
    const [two] = computeClaims(cells({ "fine-tuned": 4, "from-scratch": 0.5 }, 2));
    expect(two).toMatchObject({
      verdict: "undetermined",
      patients: 0,
      reason: expect.stringMatching(/three seeds or more/),
    });
  });
});
