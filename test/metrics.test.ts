import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Tensor } from "../dist/native/tensor.js";
import {
  auc,
  confusionMatrix,
  dice,
  diceOf,
  quadraticWeightedKappa,
  specificityAtSensitivity,
} from "../dist/tasks/metrics.js";
import { hashFill } from "./hash-fill.js";
import { shared, sharedMissing } from "./shared.js";

interface Case {
  labels: number[];
  scores: number[];
  auc: number;
  specificityAtSensitivity90: number;
}

describe.skipIf(sharedMissing)(
  "golden classification metrics (needs the shared folder beside the checkout)",
  () => {
    const { cases } = sharedMissing
      ? { cases: [] }
      : (JSON.parse(readFileSync(shared("parity/numbers/classification.json"), "utf8")) as { cases: Case[] });

    it.each(cases.map((golden, index) => ({ golden, index })))("scikit-learn's case $index", ({ golden }) => {
      expect(auc(golden.labels, golden.scores)).toBeCloseTo(golden.auc, 12);
      const specificity = specificityAtSensitivity(golden.labels, golden.scores, 0.9);
      expect(specificity).toBeCloseTo(golden.specificityAtSensitivity90, 12);
    });
  },
);

describe("specificity at a sensitivity", () => {
  const labels = [1, 1, 0, 1, 0, 0];
  const scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4];

  it("takes the highest threshold that is sensitive enough", () => {
    expect(specificityAtSensitivity(labels, scores, 2 / 3)).toBe(1); // threshold 0.8
    expect(specificityAtSensitivity(labels, scores, 0.9)).toBeCloseTo(2 / 3, 15); // threshold 0.6 takes in 0.7
    expect(specificityAtSensitivity(labels, scores, 1)).toBeCloseTo(2 / 3, 15);
  });

  it("reaches 0.9 exactly with 9 of 10 positives", () => {
    const ten = [...new Array(9).fill(1), 0, 1, 0];
    expect(specificityAtSensitivity(ten, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1], 0.9)).toBe(1);
  });

  it("cannot tell tied scores apart: all of them are called positive together", () => {
    expect(specificityAtSensitivity([1, 0, 0, 1], [0.5, 0.5, 0.1, 0.9], 0.9)).toBe(0.5);
    expect(specificityAtSensitivity([1, 0], [0.5, 0.5], 0.9)).toBe(0);
    expect(auc([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5])).toBe(0.5);
  });

  it("does not depend on the order of the cases, nor on a monotone change of scores", () => {
    const random = Array.from(hashFill("order of cases", 60), (value) => Math.round(value * 10));
    const truth = Array.from(hashFill("labels", 60), (value) => (value > 0.2 ? 1 : 0));
    const turned = [...random.keys()].sort((i, j) => (i % 7) - (j % 7) || j - i);
    for (const metric of [auc, (l: number[], s: number[]) => specificityAtSensitivity(l, s, 0.9)]) {
      const value = metric(truth, random);
      expect(
        metric(
          turned.map((i) => truth[i]),
          turned.map((i) => random[i]),
        ),
      ).toBe(value);
      expect(metric(truth, random.map(Math.exp))).toBe(value);
    }
  });

  it.each([
    { name: "one class only", labels: [1, 1], scores: [0, 1], message: "received 2 positive and 0 negative" },
    {
      name: "a label that is neither 0 nor 1",
      labels: [2, 0],
      scores: [0, 1],
      message: "labels[0] but received 2",
    },
    {
      name: "a score that is NaN",
      labels: [1, 0],
      scores: [0, Number.NaN],
      message: "scores[1] but received NaN",
    },
    { name: "lengths that differ", labels: [1, 0], scores: [0], message: "received 2 and 1" },
  ])("refuses $name", (wrong) => {
    for (const metric of [auc, (l: number[], s: number[]) => specificityAtSensitivity(l, s, 0.9)]) {
      expect(() => metric(wrong.labels, wrong.scores)).toThrow(
        expect.objectContaining({ code: "BAD_INPUT" }),
      );
      expect(() => metric(wrong.labels, wrong.scores)).toThrow(wrong.message);
    }
  });
});

describe("Dice's coefficient", () => {
  it("is twice the overlap over the sum of both", () => {
    expect(dice([0.9, 0.2, 0.7], [1, 1, 0])).toBe(0.5);
    expect(dice(new Uint8Array([1, 1, 0, 0]), new Uint8Array([1, 1, 0, 0]))).toBe(1);
    expect(dice([1, 0], [0, 1])).toBe(0);
  });

  it("calls a voxel predicted above the threshold, not at it", () => {
    expect(dice([0.5, 0.51], [1, 1])).toBeCloseTo(2 / 3, 15);
    expect(dice([-1, 2], [0, 1], { threshold: 0 })).toBe(1);
  });

  it("is 1 where both are empty, or what was asked for", () => {
    expect(dice([0, 0], [0, 0])).toBe(1);
    expect(dice([0, 0], [0, 0], { empty: 0 })).toBe(0);
    expect(dice([1, 0], [0, 0])).toBe(0);
  });

  it("refuses lengths that differ", () => {
    expect(() => dice([1, 0], [1])).toThrow("prediction and target of one length but received 2 and 1");
  });

  it("of tensors is that of each sample", async () => {
    const logits = Float32Array.from(hashFill("logits", 3 * 60));
    logits.fill(-1, 120); // the third sample predicts nothing
    const mask = new Uint8Array(hashFill("mask", 3 * 60).map((value) => (value > 0.3 ? 1 : 0)));
    mask.fill(0, 120);
    using prediction = Tensor.from(logits, [3, 1, 3, 4, 5]);
    using target = Tensor.from(mask, [3, 1, 3, 4, 5]);
    const wanted = [0, 60, 120].map((first) =>
      dice(logits.subarray(first, first + 60), mask.subarray(first, first + 60), { threshold: 0 }),
    );
    expect(wanted[0]).toBeGreaterThan(0.2);
    expect(wanted[2]).toBe(1);
    expect(await diceOf(prediction, target, { threshold: 0 })).toEqual(wanted);
    using wrong = Tensor.from(new Uint8Array(60), [1, 1, 3, 4, 5]);
    await expect(diceOf(prediction, wrong)).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});

describe("ordered classes", () => {
  const truth = [0, 1, 2, 3, 3, 2, 1, 0, 1, 2, 3, 3, 0, 0, 2];
  const predicted = [0, 1, 1, 3, 2, 2, 0, 0, 1, 3, 3, 3, 1, 0, 2];

  it("are counted by true and predicted class, as scikit-learn does", () => {
    expect(confusionMatrix(truth, predicted, 4)).toEqual([
      [3, 1, 0, 0],
      [1, 2, 0, 0],
      [0, 1, 2, 1],
      [0, 0, 1, 3],
    ]);
  });

  it("have scikit-learn's quadratic weighted kappa", () => {
    expect(quadraticWeightedKappa(truth, predicted, 4)).toBeCloseTo(0.8735244519392917, 14);
  });

  it("agree fully at 1, and have no kappa where only one class occurs", () => {
    expect(quadraticWeightedKappa(truth, truth, 4)).toBe(1);
    expect(quadraticWeightedKappa([0, 1], [1, 0], 2)).toBe(-1);
    expect(quadraticWeightedKappa([2, 2], [2, 2], 4)).toBeNull();
  });

  it("must be classes", () => {
    expect(() => confusionMatrix([0, 4], [0, 0], 4)).toThrow(
      "a class from 0 to 3 for truth[1] but received 4",
    );
    expect(() => confusionMatrix([0, 0], [0, 0.5], 4)).toThrow("predicted[1] but received 0.5");
  });
});
