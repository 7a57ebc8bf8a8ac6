import { describe, expect, it } from "vitest";
import { lossGradient } from "../dist/native/kernels.js";
import { Tensor, type TypedArray } from "../dist/native/tensor.js";
import type { LossSpec } from "../dist/native/trainer.js";
import { hashFill } from "./hash-fill.js";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** The value of a loss and its gradient, as an array. */
async function evaluate(
  loss: LossSpec,
  prediction: TypedArray,
  shape: number[],
  target: TypedArray,
  targetShape = shape,
) {
  using p = Tensor.from(prediction, shape);
  using t = Tensor.from(target, targetShape);
  const { value, gradient } = await lossGradient(loss, p, t);
  using g = gradient;
  expect(g.shape).toEqual(shape);
  return { value, gradient: (await g.toArray()) as Float64Array | Float32Array };
}

interface Setting {
  name: string;
  loss: LossSpec;
  prediction: Float64Array;
  shape: number[];
  target: TypedArray;
  targetShape?: number[];
}

const dense = [2, 3, 4, 5, 6];
const volumes = [2, 2, 12, 11, 13];
const count = (shape: number[]) => shape.reduce((product, size) => product * size, 1);
const image = hashFill("image", count(volumes)).map((value) => 0.5 + 0.4 * value);
/** Never nearer to the image than 0.05: the L1 loss has a kink at 0. */
const distorted = image.map(
  (value, i) => value + (i % 3 === 0 ? 0.05 : -0.08) - 0.02 * Math.sin(i) ** 2 * (i % 3 === 0 ? -1 : 1),
);

const settings: Setting[] = [
  ...[
    { alpha: 0.3, beta: 0.7 },
    { alpha: 0.5, beta: 0.5 },
    { alpha: 1, beta: 0, smooth: 1 },
  ].map((weights) => ({
    name: `Tversky ${JSON.stringify(weights)}`,
    loss: { kind: "tversky" as const, ...weights },
    prediction: hashFill("logits", count(dense)).map((value) => 3 * value),
    shape: dense,
    target: new Uint8Array(hashFill("mask", count(dense)).map((value) => (value > 0.4 ? 1 : 0))),
  })),
  { name: "L1", loss: { kind: "l1" }, prediction: distorted, shape: volumes, target: image },
  {
    name: "cross-entropy",
    loss: { kind: "cross-entropy" },
    prediction: hashFill("scores", 20).map((value) => 2 * value),
    shape: [5, 4],
    target: BigInt64Array.from([0n, 3n, 2n, 1n, 1n]),
    targetShape: [5],
  },
  {
    name: "weighted cross-entropy",
    loss: { kind: "cross-entropy", weights: [1, 2, 0.5, 4] },
    prediction: hashFill("scores", 20).map((value) => 2 * value),
    shape: [5, 4],
    target: BigInt64Array.from([0n, 3n, 2n, 1n, 1n]),
    targetShape: [5],
  },
  {
    name: "SSIM",
    loss: { kind: "ssim", dataRange: 1 },
    prediction: distorted,
    shape: volumes,
    target: image,
  },
  {
    name: "L1 + SSIM",
    loss: { kind: "l1-ssim", dataRange: 2, ssimWeight: 0.7 },
    prediction: distorted,
    shape: volumes,
    target: image,
  },
];

describe("the gradient of a loss is that of finite differences", () => {
  it.each(settings)("$name", async ({ loss, prediction, shape, target, targetShape }) => {
    const { gradient } = await evaluate(loss, prediction, shape, target, targetShape);
    const largest = Math.max(...gradient.map(Math.abs));
    expect(largest).toBeGreaterThan(0);
    const value = async (index: number, change: number) => {
      const moved = prediction.slice();
      moved[index] = (moved[index] as number) + change;
      return (await evaluate(loss, moved, shape, target, targetShape)).value;
    };
    // Fourth-order central differences at 40 places spread over the whole tensor, corners included.
    const h = 1e-3;
    const places = new Set(
      Array.from({ length: 40 }, (_, k) => Math.round((k * (prediction.length - 1)) / 39)),
    );
    for (const index of places) {
      const far = (await value(index, -2 * h)) - (await value(index, 2 * h));
      const near = (await value(index, h)) - (await value(index, -h));
      const wanted = (far + 8 * near) / (12 * h);
      expect(Math.abs((gradient[index] as number) - wanted)).toBeLessThan(1e-6 * largest);
    }
  });

  it.each(settings)(
    "$name: float32 agrees with float64",
    async ({ loss, prediction, shape, target, targetShape }) => {
      const precise = await evaluate(loss, prediction, shape, target, targetShape);
      const single = await evaluate(
        loss,
        Float32Array.from(prediction),
        shape,
        target instanceof Float64Array ? Float32Array.from(target) : target,
        targetShape,
      );
      expect(single.gradient).toBeInstanceOf(Float32Array);
      expect(Math.abs(single.value - precise.value)).toBeLessThan(1e-6);
      const largest = Math.max(...precise.gradient.map(Math.abs));
      for (const [i, wanted] of precise.gradient.entries()) {
        expect(Math.abs((single.gradient[i] as number) - wanted)).toBeLessThan(1e-4 * largest);
      }
    },
  );
});

describe("the value of a loss is its formula's", () => {
  it("Tversky: per sample and channel, alpha on false positives and beta on false negatives", async () => {
    const { loss, prediction, shape, target } = settings[0] as Setting & { target: Uint8Array };
    const voxels = 120;
    let sum = 0;
    for (let part = 0; part < 6; part++) {
      const p = prediction.subarray(part * voxels, (part + 1) * voxels).map(sigmoid);
      const t = target.subarray(part * voxels, (part + 1) * voxels);
      const over = (term: (pi: number, ti: number) => number) =>
        p.reduce((total, pi, i) => total + term(pi, t[i] as number), 0);
      const hit = over((pi, ti) => pi * ti);
      const falsePositive = over((pi, ti) => pi * (1 - ti));
      const falseNegative = over((pi, ti) => (1 - pi) * ti);
      sum += (hit + 1e-5) / (hit + 0.3 * falsePositive + 0.7 * falseNegative + 1e-5);
    }
    expect((await evaluate(loss, prediction, shape, target)).value).toBeCloseTo(1 - sum / 6, 13);
  });

  it("Tversky: about 0 for a confident right answer, about 1 for a confident wrong one, and for an empty target", async () => {
    const loss: LossSpec = { kind: "tversky", alpha: 0.3, beta: 0.7 };
    const mask = new Uint8Array([1, 0, 0, 1, 0, 0, 0, 0]);
    const right = Float64Array.from(mask, (value) => (value ? 40 : -40));
    const shape = [1, 1, 2, 2, 2];
    expect((await evaluate(loss, right, shape, mask)).value).toBeLessThan(1e-9);
    expect(
      (
        await evaluate(
          loss,
          right.map((value) => -value),
          shape,
          mask,
        )
      ).value,
    ).toBeCloseTo(1, 4);
    const nothing = new Uint8Array(8);
    expect((await evaluate(loss, new Float64Array(8).fill(-40), shape, nothing)).value).toBeLessThan(1e-9);
    expect((await evaluate(loss, right, shape, nothing)).value).toBeCloseTo(1, 4);
  });

  it("L1: the mean absolute difference", async () => {
    const p = new Float64Array([1, 2, 3, -4]);
    const t = new Float64Array([0, 2, 5, -1]);
    const { value, gradient } = await evaluate({ kind: "l1" }, p, [4, 1], t);
    expect(value).toBe(1.5);
    expect([...gradient]).toEqual([0.25, 0, -0.25, -0.25]);
  });

  it("cross-entropy: weighted with the weight of the target's class, over the sum of these weights", async () => {
    const logits = new Float64Array([2, 0, -1, 0.5, 1, 1]);
    const target = BigInt64Array.from([0n, 2n]);
    const minusLog = (row: number[], k: number) =>
      Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0)) - (row[k] as number);
    const [first, second] = [minusLog([2, 0, -1], 0), minusLog([0.5, 1, 1], 2)];
    const plain = await evaluate({ kind: "cross-entropy" }, logits, [2, 3], target, [2]);
    expect(plain.value).toBeCloseTo((first + second) / 2, 14);
    const weighted = await evaluate(
      { kind: "cross-entropy", weights: [3, 9, 1] },
      logits,
      [2, 3],
      target,
      [2],
    );
    expect(weighted.value).toBeCloseTo((3 * first + second) / 4, 14);
  });

  it("L1 + SSIM: the sum of both, SSIM with its weight", async () => {
    const both = await evaluate(
      { kind: "l1-ssim", dataRange: 2, ssimWeight: 0.7 },
      distorted,
      volumes,
      image,
    );
    const l1 = await evaluate({ kind: "l1" }, distorted, volumes, image);
    const ssim = await evaluate({ kind: "ssim", dataRange: 2 }, distorted, volumes, image);
    expect(both.value).toBeCloseTo(l1.value + 0.7 * ssim.value, 14);
  });

  it("SSIM: 0 for the same volume, with no gradient to follow", async () => {
    const { value, gradient } = await evaluate({ kind: "ssim", dataRange: 1 }, image, volumes, image);
    expect(Math.abs(value)).toBeLessThan(1e-14);
    expect(Math.max(...gradient.map(Math.abs))).toBeLessThan(1e-12);
  });
});

describe("a loss refuses what does not fit", () => {
  const five = new Float64Array(5);
  it.each<{
    name: string;
    loss: LossSpec;
    shape: number[];
    target: TypedArray;
    targetShape: number[];
    message: string;
  }>([
    {
      name: "a target that would be broadcast",
      loss: { kind: "l1" },
      shape: [5, 1],
      target: five,
      targetShape: [1, 5],
      message: "a target of the prediction's shape [5, 1]",
    },
    {
      name: "a class out of range",
      loss: { kind: "cross-entropy" },
      shape: [1, 5],
      target: BigInt64Array.from([5n]),
      targetShape: [1],
      message: "classes in [0, 4]",
    },
    {
      name: "a negative class",
      loss: { kind: "cross-entropy" },
      shape: [1, 5],
      target: BigInt64Array.from([-1n]),
      targetShape: [1],
      message: "received -1",
    },
    {
      name: "classes that are not int64",
      loss: { kind: "cross-entropy" },
      shape: [1, 5],
      target: new Float64Array(1),
      targetShape: [1],
      message: "int64 classes",
    },
    {
      name: "a weight too few",
      loss: { kind: "cross-entropy", weights: [1, 1] },
      shape: [1, 5],
      target: BigInt64Array.from([1n]),
      targetShape: [1],
      message: "one weight for each of 5",
    },
    {
      name: "a volume thinner than SSIM's window",
      loss: { kind: "ssim", dataRange: 1 },
      shape: [1, 1, 1, 1, 5],
      target: five,
      targetShape: [1, 1, 1, 1, 5],
      message: "every spatial size >= 11",
    },
    {
      name: "the masked autoencoder without its input",
      loss: { kind: "masked-autoencoder" },
      shape: [5, 1],
      target: five,
      targetShape: [5, 1],
      message: "compares with the network's input",
    },
  ])("$name", async ({ loss, shape, target, targetShape, message }) => {
    const refused = evaluate(loss, five, shape, target, targetShape);
    await expect(refused).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining(message),
    });
  });
});
