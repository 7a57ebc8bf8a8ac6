import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCase } from "../dist/cohort/case-volumes.js";
import { randomStream } from "../dist/common/random.js";
import { setThreads } from "../dist/native/runtime.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { taskOf } from "../dist/tasks/index.js";
import { inverseFrequencies } from "../dist/tasks/pirads-classification.js";

const options = { classWeights: "inverse-frequency", channelFill: "repeat" } as const;
const task = taskOf({ kind: "pirads-classification", positiveFrom: 3, ...options });
const labelsOf = (pirads: number | null) => (pirads === null ? {} : { pirads });
const facts = (pirads: number | null) => ({ roles: ["t2w" as const], labels: labelsOf(pirads) });
const shape = [4, 16, 16];

let folder: string;
beforeAll(async () => {
  setThreads(1);
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-pirads-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function caseOf(pirads: number | null, voxels: Float32Array) {
  const file = join(folder, `${pirads}.safetensors`);
  using t2w = Tensor.from(voxels, shape);
  await writeSafetensors(file, { t2w });
  return openCase(
    { id: "one", patient: "one", labels: labelsOf(pirads), file, volumes: ["t2w"], spacing: [1, 1, 1] },
    "cpu",
  );
}

describe("PI-RADS classification", () => {
  it("shows T2W and asks for one of four classes, PI-RADS 1 and 2 being one", async () => {
    const classes: number[] = [];
    for (const pirads of [1, 2, 3, 4, 5]) {
      using sample = await task.sample(
        await caseOf(pirads, new Float32Array(1024).fill(0.5)),
        3,
        randomStream(1, "any"),
      );
      expect(sample.input.shape).toEqual([3, ...shape]);
      expect(sample.target.shape).toEqual([]);
      classes.push(Number((await sample.target.toArray())[0]));
    }
    expect(classes).toEqual([0, 0, 1, 2, 3]);
  });

  it("leaves out a case without a PI-RADS, with that reason", () => {
    expect(task.missing(facts(4))).toBeNull();
    expect(task.missing(facts(null))).toMatch(/PI-RADS/);
    expect(task.missing({ roles: ["adc"], labels: { pirads: 3 } })).toMatch(/T2W/);
  });

  it("weighs classes by the inverse of their frequency, as scikit-learn's balanced does", () => {
    // compute_class_weight("balanced", classes=[0, 1, 2, 3], y=[0, 0, 0, 1, 2, 2, 3, 3]) of scikit-learn 1.5
    const weights = inverseFrequencies([1, 2, 2, 3, 4, 4, 5, 5].map(facts));
    for (const [index, weight] of [2 / 3, 2, 1, 1].entries()) expect(weights[index]).toBeCloseTo(weight, 12);
    // A class that does not occur weighs nothing in the loss; its weight must only be positive.
    expect(inverseFrequencies([2, 4].map(facts))).toEqual([1, 1, 1, 1]);
  });

  it("scores a case by the probability of the positive classes", async () => {
    using logits = Tensor.from(new Float32Array([0, Math.log(2), 0, 0, 3, 0, 0, 0]), [2, 4]);
    using target = Tensor.from(BigInt64Array.of(1n, 3n), [2]);
    const [first, second] = await task.judge(logits, target);
    expect(first).toEqual({ value: expect.closeTo(4 / 5, 6), truth: 1, predicted: 1, positive: true });
    expect(second).toEqual({
      value: expect.closeTo(3 / (Math.exp(3) + 3), 6),
      truth: 3,
      predicted: 0,
      positive: true,
    });
    const strict = taskOf({ kind: "pirads-classification", positiveFrom: 4, ...options });
    const [one] = await strict.judge(logits, target);
    expect(one?.value).toBeCloseTo(2 / 5, 6);
    expect(one?.positive).toBe(false); // PI-RADS 3, where positives begin at 4
  });

  it("is judged by the specificity at sensitivity 0.9, which only a set of cases has", () => {
    const judged = [
      { value: 0.9, truth: 3, predicted: 3 },
      { value: 0.7, truth: 1, predicted: 1 },
      { value: 0.6, truth: 0, predicted: 1 },
      { value: 0.4, truth: 2, predicted: 0 },
      { value: 0.3, truth: 0, predicted: 0 },
      { value: 0.1, truth: 0, predicted: 0 },
    ];
    const assessment = task.assess(judged, []);
    // All three positives are found at a threshold of 0.4, at which one of three negatives is called positive.
    expect(assessment).toMatchObject({ value: 2 / 3, standardDeviation: null });
    expect(assessment?.secondary.AUC).toBeCloseTo(8 / 9, 12);
    expect(assessment?.secondary.Accuracy).toBeCloseTo(4 / 6, 12);
    expect(assessment?.confusion).toEqual([
      [2, 1, 0, 0],
      [0, 1, 0, 0],
      [1, 0, 0, 0],
      [0, 0, 0, 1],
    ]);
  });

  it("has no metric where all cases are positive, or all negative", () => {
    const positive = task.assess([{ value: 0.9, truth: 3, predicted: 3 }], []);
    expect(positive).toMatchObject({
      value: null,
      reason: "it has no negative case (PI-RADS lower than 3)",
      standardDeviation: null,
      secondary: { AUC: null, "Quadratic weighted kappa": null, Accuracy: 1 },
    });
    expect(positive.confusion?.[3]).toEqual([0, 0, 0, 1]);
    expect(task.assess([{ value: 0.9, truth: 0, predicted: 3 }], [])).toMatchObject({
      value: null,
      reason: "it has no positive case (PI-RADS 3 or higher)",
      secondary: { AUC: null, "Quadratic weighted kappa": 0, Accuracy: 0 },
    });
  });
});
