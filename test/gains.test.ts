import { describe, expect, it } from "vitest";
import type { Comparator } from "../dist/common/vocabulary.js";
import type { CellResult } from "../dist/results/cell.js";
import { computeGains, relativePerformanceGain } from "../dist/statistics/gains.js";
import {
  bootstrapInterval,
  mean,
  quantile,
  standardDeviation,
} from "../dist/statistics/sample-statistics.js";
import { hashFill } from "./hash-fill.js";

function cell(comparator: Comparator, value: number, change: Partial<CellResult> = {}): CellResult {
  const model = comparator === "specialised" ? "unet" : "profound";
  return {
    id: `lesion-segmentation--${model}--${comparator}--1`,
    task: "lesion-segmentation",
    strategy: "direct",
    model,
    comparator,
    seed: 1,
    network: { architecture: model, parameters: 10, trainable: 10 },
    metric: {
      name: "Dice",
      mean: value,
      standardDeviation: 0,
      cases: [{ case: "a", patient: "a", value }],
      secondary: {},
    },
    curve: [],
    bestEpoch: null,
    cost: {
      wallSeconds: 1,
      deviceSeconds: 1,
      peakMemoryBytes: 1,
      epochSeconds: [],
      epochEmbedded: [],
      device: "cpu",
      threads: 1,
    },
    ...change,
  };
}

describe("the relative performance gain", () => {
  it("is the paper's equation 2, in percent", () => {
    expect(relativePerformanceGain(0.6, 0.5)).toBeCloseTo(20, 12);
    expect(relativePerformanceGain(0.25, 0.5)).toBe(-50);
    expect(relativePerformanceGain(0.5, 0.5)).toBe(0);
  });

  it("is undefined over a reference that is not above 0", () => {
    expect(relativePerformanceGain(0.6, 0)).toBeNull();
    expect(relativePerformanceGain(0.6, -0.1)).toBeNull();
  });

  it("is undefined, with the reason, where a metric is, or the reference is 0", () => {
    const undefinedMetric = {
      name: "Dice",
      mean: null,
      reason: "it has no negative case",
      standardDeviation: null,
      cases: [],
      secondary: {},
    };
    const [random, scratch] = computeGains([
      cell("fine-tuned", 0.6),
      cell("random-weights", 0),
      cell("from-scratch", 0, { metric: undefinedMetric }),
    ]);
    expect(random).toMatchObject({ percent: null, reason: "the reference is 0 or less" });
    expect(scratch).toMatchObject({
      fineTuned: 0.6,
      referenceValue: null,
      percent: null,
      reason: "Dice is undefined on the test set: it has no negative case",
    });
    const [other] = computeGains([
      cell("fine-tuned", 0, { metric: undefinedMetric }),
      cell("from-scratch", 0.5),
    ]);
    expect(other).toMatchObject({ fineTuned: null, referenceValue: 0.5, percent: null });
    expect(other?.reason).toMatch(/undefined on the test set/);
  });

  it("over what takes no network is computed for every model, strategy and seed of the task", () => {
    const trivial = cell("trivial", 0.5, { model: "mean-mask", seed: 1 });
    const gains = computeGains([
      cell("fine-tuned", 0.6, { seed: 1 }),
      cell("fine-tuned", 0.4, { seed: 7 }),
      cell("fine-tuned", 0.55, { seed: 7, model: "other", strategy: "diffusion" }),
      cell("fine-tuned", 0.9, { task: "super-resolution" }),
      trivial,
    ]);
    expect(gains.map(({ model, seed, percent }) => [model, seed, Math.round(percent as number)])).toEqual([
      ["profound", 1, 20],
      ["profound", 7, -20],
      ["other", 7, 10],
    ]);
    expect(gains.every(({ reference }) => reference === "trivial")).toBe(true);
  });

  it("is computed over every reference of the same task, model and seed", () => {
    const gains = computeGains([
      cell("specialised", 0.4),
      cell("random-weights", 0),
      cell("from-scratch", 0.5),
      cell("fine-tuned", 0.6),
      cell("pretrained", 0.3),
      cell("pretrained", 0.1, { seed: 2 }),
      cell("pretrained", 0.1, { task: "super-resolution" }),
      cell("from-scratch", 0.1, { model: "provicnet" }),
    ]);
    expect(gains.map(({ reference, referenceValue }) => [reference, referenceValue])).toEqual([
      ["random-weights", 0],
      ["pretrained", 0.3],
      ["from-scratch", 0.5],
      ["specialised", 0.4],
    ]);
    const percents = gains.map(({ percent }) => percent);
    expect(percents[0]).toBeNull();
    expect(percents[1]).toBeCloseTo(100, 12);
    expect(percents[2]).toBeCloseTo(20, 12);
    expect(percents[3]).toBeCloseTo(50, 12);
    expect(gains[0]).toMatchObject({
      task: "lesion-segmentation",
      model: "profound",
      seed: 1,
      fineTuned: 0.6,
    });
  });

  it("is computed within a strategy, but over the one specialised model of the task", () => {
    const other = { id: "b", strategy: "diffusion" } as const;
    const gains = computeGains([
      cell("specialised", 0.4),
      cell("from-scratch", 0.5),
      cell("fine-tuned", 0.6),
      cell("fine-tuned", 0.8, other),
      cell("pretrained", 0.2, other),
    ]);
    expect(
      gains.map(({ strategy, reference, fineTuned, referenceValue }) => [
        strategy,
        reference,
        fineTuned,
        referenceValue,
      ]),
    ).toEqual([
      ["direct", "from-scratch", 0.6, 0.5],
      ["direct", "specialised", 0.6, 0.4],
      ["diffusion", "pretrained", 0.8, 0.2],
      ["diffusion", "specialised", 0.8, 0.4],
    ]);
  });

  it("waits for what is missing: no fine-tuned cell, no gain", () => {
    expect(computeGains([cell("pretrained", 0.3)])).toEqual([]);
    expect(computeGains([cell("fine-tuned", 0.3)])).toEqual([]);
  });

  it("refuses to compare two metrics", () => {
    const other = cell("pretrained", 0.9);
    other.metric.name = "SSIM";
    expect(() => computeGains([cell("fine-tuned", 0.6), other])).toThrow("received Dice of cell");
  });
});

describe("summaries", () => {
  const values = [3.1, 2.2, 5.9, 4.4, 4.4, 0.3, 7.7];

  it("have NumPy's mean, sample standard deviation and quantiles", () => {
    expect(mean(values)).toBeCloseTo(4, 14);
    expect(standardDeviation(values)).toBeCloseTo(2.4276188608044165, 14);
    expect(standardDeviation([2])).toBe(0);
    const wanted = { 0.025: 0.585, 0.25: 2.65, 0.5: 4.4, 0.9: 6.62, 0: 0.3, 1: 7.7 };
    for (const [p, value] of Object.entries(wanted))
      expect(quantile(values, Number(p))).toBeCloseTo(value, 13);
  });

  it("refuse nothing at all, and values that are not finite", () => {
    expect(() => mean([])).toThrow("at least one number");
    expect(() => mean([1, Number.POSITIVE_INFINITY])).toThrow("values[1] but received Infinity");
    expect(() => quantile(values, 2)).toThrow("in [0, 1] for probability but received 2");
  });

  it("a bootstrap interval is the same for the same seed, and close to the normal one for many values", () => {
    const many = Array.from(hashFill("bootstrap", 400));
    const [low, high] = bootstrapInterval(many, { seed: 7, resamples: 4000 });
    expect(bootstrapInterval(many, { seed: 7, resamples: 4000 })).toEqual([low, high]);
    expect(bootstrapInterval(many, { seed: 8, resamples: 4000 })).not.toEqual([low, high]);
    const half = (1.96 * standardDeviation(many)) / 20;
    expect(low).toBeCloseTo(mean(many) - half, 2);
    expect(high).toBeCloseTo(mean(many) + half, 2);
  });

  it("a bootstrap interval of equal values has no width, a wider level is wider", () => {
    expect(bootstrapInterval([2, 2, 2], { seed: 1, resamples: 100 })).toEqual([2, 2]);
    const narrow = bootstrapInterval(values, { seed: 1, level: 0.5 });
    const wide = bootstrapInterval(values, { seed: 1, level: 0.99 });
    expect(wide[0]).toBeLessThan(narrow[0]);
    expect(wide[1]).toBeGreaterThan(narrow[1]);
  });
});
