import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { metrics } from "../dist/index.js";
import { computeClaims } from "../dist/statistics/claims.js";
import { computeFindings } from "../dist/statistics/findings.js";
import { simulateStudy } from "../dist/statistics/simulation.js";
import { testMetricOf } from "../dist/study/cell/test-set.js";
import { definitionOf, floorOf, type TaskSpec, taskKinds, taskOf } from "../dist/tasks/index.js";
import { valueOverSet } from "../dist/tasks/set-metrics.js";

const classifying = (metric: string, sensitivity = 0.9) =>
  ({
    kind: "classification",
    ...{ image: "t1", label: "grade", positive: ["II"], classes: [["I"], ["II"]], ordered: true },
    ...{ metric, sensitivity, classWeights: "none", channelFill: "repeat" },
  }) as unknown as TaskSpec;

const detecting = (metric: string) =>
  ({
    kind: "detection",
    ...{ mask: "tumour", images: ["t1"], metric, leastOverlap: 0.1, threshold: 0.5, fewestVoxels: 1 },
    ...{ alpha: 0.7, beta: 0.3, prior: 0.01, channelFill: "repeat", dynamic: 0.5, candidates: 5 },
  }) as unknown as TaskSpec;

const floorsOf = (spec: TaskSpec): number => floorOf(spec, taskOf(spec, "direct")) as number;

/** Scores of many cases that know nothing of the labels, and of as many that know all. */
const draws = 20_000;
const random = randomStream(1, "scores");
const labels = Array.from({ length: draws }, (_, index) => index % 3 === 0);
const blind = labels.map(() => random.uniform());
const seeing = labels.map((one) => (one ? 1 : 0));

describe("What a task's metric must reach before anything counts as learnt", () => {
  it.each([
    ["AUC", classifying("auc"), 0.525],
    ["kappa", classifying("kappa"), 0.05],
    ["specificity at a sensitivity of 0.9", classifying("specificity"), 0.145],
    ["specificity at a sensitivity of 0.8", classifying("specificity", 0.8), 0.24],
    ["the PI-CAI score", detecting("pi-cai"), 0.2875],
    ["average precision", detecting("average-precision"), 0.05],
  ])("is a twentieth of the way from chance to the best value: of %s", (_, spec, floor) => {
    expect(floorsOf(spec)).toBeCloseTo(floor, 12);
  });

  it("is declared by every kind of task", () => {
    for (const kind of taskKinds) expect(definitionOf(kind).metric.floor).toBeGreaterThan(0);
  });

  it("is beyond what scores reach that know nothing of the labels, and far from what those reach that know all", () => {
    const between = (spec: TaskSpec, unknowing: number | null, knowing: number | null) => {
      expect(unknowing).toBeLessThan(floorsOf(spec));
      expect(unknowing).toBeGreaterThan(floorsOf(spec) - 0.07);
      expect(knowing).toBe(1);
    };
    between(classifying("auc"), metrics.auc(labels, blind), metrics.auc(labels, seeing));
    for (const sensitivity of [0.8, 0.9])
      between(
        classifying("specificity", sensitivity),
        metrics.specificityAtSensitivity(labels, blind, sensitivity),
        metrics.specificityAtSensitivity(labels, seeing, sensitivity),
      );
    const guess = blind.map((score) => (score > 0.7 ? 1 : 0));
    const truth = labels.map((one) => (one ? 1 : 0));
    between(
      classifying("kappa"),
      metrics.quadraticWeightedKappa(truth, guess, 2),
      metrics.quadraticWeightedKappa(truth, truth, 2),
    );
    // A detector that draws candidates by chance: lesions are hit once in fifty, and each case has one false candidate.
    const cases = (found: (index: number) => boolean) =>
      labels.map((positive, index) => ({
        case: String(index),
        positive,
        value: blind[index] as number,
        found: {
          candidates: [
            ...(positive && found(index) ? [{ confidence: blind[index] as number, hit: true }] : []),
            { confidence: (blind[index] as number) * 0.99, hit: false },
          ],
          lesions: positive ? 1 : 0,
        },
      }));
    const score = valueOverSet("PI-CAI score", cases((index) => index % 50 === 0) as never);
    expect(score as number).toBeLessThan(floorsOf(detecting("pi-cai")));
  });
});

const results = (metric: { name: string; floor?: number }, reference: number, gain: number) =>
  simulateStudy(
    {
      ...{ tasks: 1, models: 1, seeds: 5, patients: 60, reference, gain },
      ...{ runSpread: 0.001, patientSpread: 0.001, restSpread: 0.001 },
    },
    3,
  ).map((cell) => ({
    ...cell,
    metric: { ...cell.metric, floor: undefined, ...metric } as typeof cell.metric,
  }));

describe("A task that nobody has learnt", () => {
  it("is one whose best AUC is hardly above a half, though it is far above 0.05, and nothing is concluded from it", () => {
    const [claim] = computeClaims(results({ name: "AUC", floor: 0.525 }, 0.5, 0.02));
    expect(claim).toMatchObject({
      verdict: "undetermined",
      reason: "neither reaches 0.525: the task was not learnt",
      floor: 0.525,
    });
    const [learnt] = computeClaims(results({ name: "AUC", floor: 0.525 }, 0.7, 0.1));
    expect(learnt?.verdict).toBe("supported");
  });

  it("is told by no value where its metric declares none", () => {
    expect(computeClaims(results({ name: "Something" }, -0.2, 0.2))[0]?.verdict).toBe("supported");
  });

  it("stands in the results as a finding, with what would have had to be reached", () => {
    const cells = results({ name: "Quadratic weighted kappa", floor: 0.05 }, 0.01, 0.02);
    const of = (own: typeof cells) =>
      computeFindings({
        cells: own.map((result) => ({ ...result, status: "done", result })) as never,
        pretraining: [],
        distances: [],
      } as never);
    expect(of(cells)).toMatchObject([
      { kind: "nothing-learnt", metric: "Quadratic weighted kappa", floor: 0.05 },
    ]);
    expect(of(results({ name: "Quadratic weighted kappa", floor: 0.05 }, 0.1, 0.02))).toEqual([]);
  });

  it("has the floor of its metric in what a cell writes, and none where the kind declares none", () => {
    const evaluation = {
      assessment: { value: 0.5, standardDeviation: null, secondary: {} },
      cases: [],
    } as never;
    const spec = classifying("auc");
    expect(testMetricOf(taskOf(spec, "direct"), spec, evaluation)).toMatchObject({
      name: "AUC",
      floor: 0.525,
    });
  });
});
