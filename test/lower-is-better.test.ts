import { describe, expect, it } from "vitest";
import { scratchFigure } from "../dist/report/figures/scratch.js";
import { summarise } from "../dist/report/report-summary.js";
import type { CellResult } from "../dist/results/cell.js";
import { computeClaims } from "../dist/statistics/claims.js";
import { computeGains } from "../dist/statistics/gains.js";
import { convergence } from "../dist/statistics/scores.js";
import { simulateStudy } from "../dist/statistics/simulation.js";
import { studyResults } from "./report-fixture.js";

const settings = {
  seeds: 4,
  patients: 30,
  gain: 0.1,
  runSpread: 0.01,
  patientSpread: 0.02,
  restSpread: 0.01,
};
const higher = simulateStudy(settings, 7);

const withoutFloor = ({ floor: _, ...metric }: CellResult["metric"]) => metric;

/** The same results as errors: 1 less each value, so that whoever was better by a tenth errs by a tenth less. */
const asErrors = (cells: readonly CellResult[]): CellResult[] =>
  cells.map((cell) => ({
    ...cell,
    metric: {
      ...withoutFloor(cell.metric),
      name: "Error",
      lowerIsBetter: true,
      mean: 1 - (cell.metric.mean as number),
      cases: cell.metric.cases.map((one) => ({ ...one, value: 1 - (one.value as number) })),
    },
  }));

describe("A metric of which lower values are the better ones", () => {
  const [claims, ofErrors] = [computeClaims(higher), computeClaims(asErrors(higher))];

  it("gives the differences, intervals and verdicts that the same results give as one of which higher values are", () => {
    expect(claims.length).toBe(5);
    for (const [index, claim] of claims.entries()) {
      const other = ofErrors[index];
      expect(claim.verdict).toBe("supported");
      expect(other?.verdict).toBe("supported");
      expect(other?.better).toBe(claim.better);
      for (const end of ["estimate", "low", "high"] as const)
        expect(other?.difference[end]).toBeCloseTo(claim.difference[end] as number, 10);
      expect(other?.p).toBeCloseTo(claim.p as number, 10);
      expect(other?.fineTuned).toBeCloseTo(1 - claim.fineTuned, 10);
      expect(claim).not.toHaveProperty("lowerIsBetter");
      expect(other?.lowerIsBetter).toBe(true);
    }
  });

  it("calls a model that errs more contradicted", () => {
    const worse = computeClaims(asErrors(simulateStudy({ ...settings, gain: -0.1 }, 7)));
    expect(worse.map(({ verdict }) => verdict)).toEqual(Array(5).fill("contradicted"));
    for (const { difference, better } of worse) {
      expect(difference.estimate).toBeLessThan(-0.08);
      expect(better).toBeLessThan(5);
    }
  });

  it("gains by how many percent of the reference the error is smaller", () => {
    for (const { fineTuned, referenceValue, percent } of ofErrors) {
      const expected = ((referenceValue - fineTuned) / referenceValue) * 100;
      expect(expected).toBeGreaterThan(10);
      expect(percent?.estimate).toBeCloseTo(expected, 8);
      expect(percent?.low as number).toBeLessThan(expected);
      expect(percent?.high as number).toBeGreaterThan(expected);
    }
    const [gain] = computeGains(asErrors(higher));
    const [own, reference] = [gain?.fineTuned, gain?.referenceValue] as [number, number];
    expect(gain?.percent).toBeCloseTo(((reference - own) / reference) * 100, 10);
  });

  it("is never taken for something that nobody has learnt because it is near 0", () => {
    const small = asErrors(higher).map((cell) => ({
      ...cell,
      metric: {
        ...cell.metric,
        mean: (cell.metric.mean as number) / 100,
        cases: cell.metric.cases.map((one) => ({ ...one, value: (one.value as number) / 100 })),
      },
    }));
    for (const claim of computeClaims(small)) expect(claim.reason).not.toContain("not learnt");
  });

  it("converges where its lowest validation value is nearly reached", () => {
    const [cell] = asErrors(higher) as [CellResult];
    const curve = [0.9, 0.5, 0.301, 0.3, 0.4].map((validationMetric, index) => ({
      ...{ epoch: index + 1, learningRate: 1, trainingLoss: 1, validationMetric },
    }));
    expect(convergence({ ...cell, curve }, false)).toMatchObject({ best: 0.3, epoch: 3 });
  });

  it("runs downwards in the figure of trained from scratch against fine-tuned, in a panel of its own", () => {
    const results = studyResults({
      tasks: ["lesion-segmentation", "super-resolution"],
      models: ["a"],
      seeds: [1],
    });
    const mixed = {
      ...results,
      cells: results.cells.map((cell) =>
        cell.task === "super-resolution" && cell.result
          ? {
              ...cell,
              result: { ...cell.result, metric: { ...cell.result.metric, lowerIsBetter: true as const } },
            }
          : cell,
      ),
    };
    const figure = scratchFigure(summarise(mixed));
    expect(figure?.panels.map(({ title }) => title)).toEqual(["a", "a: lower is better"]);
    const domains = figure?.panels.map(({ parts }) => {
      const text = JSON.stringify(parts[0]?.spec?.(400));
      return (JSON.parse(/"domain":(\[[^\]]*\])/.exec(text)?.[1] as string) as number[]).map(Number);
    }) as [number, number][];
    expect(domains[0]?.[0]).toBeLessThan(domains[0]?.[1] as number);
    expect(domains[1]?.[0]).toBeGreaterThan(domains[1]?.[1] as number);
  });

  it("needs a margin where the task's name is not that of a kind", () => {
    const named = higher.map((cell) => ({ ...cell, task: "my-task" }));
    expect(() => computeClaims(named)).toThrow(/margin of a task whose name is not that of a kind/);
    expect(computeClaims(named, { margins: { "my-task": 0.3 } })[0]?.equivalence.margin).toBe(0.3);
  });
});
