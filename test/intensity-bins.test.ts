import { afterEach, describe, expect, it } from "vitest";
import type { NetworkSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { Trainer } from "../dist/native/trainer.js";
import { hashFill } from "./hash-fill.js";

setThreads(1);

const output = { bins: 4, low: -1, high: 3 };
const centres = [-0.5, 0.5, 1.5, 2.5];
const model = { family: "unet-3d", channels: 1, outputs: 1, features: 4, levels: 2 } as const;
const convNeXt = {
  family: "convnext-v2-3d",
  channels: 1,
  depths: [1, 1, 1, 1],
  dims: [4, 4, 8, 8],
} as const;
const dinoVit = {
  family: "dino-vit",
  channels: 3,
  patch: 14,
  embedDim: 8,
  depth: 1,
  heads: 2,
  registers: 0,
  axisTokens: 0,
} as const;

const specification = (value: object): NetworkSpec => structuredClone(value) as NetworkSpec;
const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const filled = (name: string, shape: number[]): Tensor =>
  Tensor.from(Float32Array.from(hashFill(name, product(shape))), shape);
const valuesOf = async (tensor: Tensor): Promise<number[]> => [...((await tensor.toArray()) as Float32Array)];

/** Gives the U-Net's last layer these biases and no weights: the same logits at every voxel. */
async function setLogits(network: PlacedNetwork, logits: number[], scale = 1): Promise<void> {
  using weight = Tensor.from(new Float32Array(4 * scale * logits.length), [
    scale * logits.length,
    4,
    1,
    1,
    1,
  ]);
  using bias = Tensor.from(Float32Array.from(logits.flatMap((logit) => Array<number>(scale).fill(logit))), [
    scale * logits.length,
  ]);
  await network.assign({ "out.weight": weight, "out.bias": bias });
}

describe("an output of intensity bins", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  it.each([
    ["equal logits give the mean of the centres", [0.7, 0.7, 0.7, 0.7], 1],
    ["one large logit gives its bin's centre", [0, 0, 200, 0], 1.5],
    ["the first bin's centre lies half a bin above low", [200, 0, 0, 0], -0.5],
    [
      "others give the expectation",
      [0, Math.log(2), Math.log(3), Math.log(4)],
      // shares of 1, 2, 3 and 4 in 10
      (1 * -0.5 + 2 * 0.5 + 3 * 1.5 + 4 * 2.5) / 10,
    ],
  ] as const)("%s", async (_, logits, expected) => {
    using network = await PlacedNetwork.build(specification({ model, output }));
    await setLogits(network, [...logits]);
    using volume = filled("volume", [2, 1, 3, 4, 5]);
    using answer = await network.forward(volume);
    expect(answer.shape).toEqual([2, 1, 3, 4, 5]);
    for (const value of await valuesOf(answer)) expect(value).toBeCloseTo(expected, 5);
  });

  it("does not see what a doubling network adds of its input, which all bins share", async () => {
    using network = await PlacedNetwork.build(specification({ model: { ...model, depthScale: 2 }, output }));
    await setLogits(network, [0, 200, 0, 0], 2);
    using volume = filled("volume", [1, 1, 3, 4, 5]);
    using answer = await network.forward(volume);
    expect(answer.shape).toEqual([1, 1, 6, 4, 5]);
    for (const value of await valuesOf(answer)) expect(value).toBeCloseTo(centres[1] as number, 5);
  });

  it.each([
    { encoder: convNeXt, head: { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 4 } },
    { encoder: convNeXt, head: { kind: "unetr", outputs: 1, featureSize: 2 } },
    { encoder: convNeXt, head: { kind: "subpixel", outputs: 1, featureSize: 2 } },
    { encoder: dinoVit, head: { kind: "conv1", outputs: 1 } },
    { encoder: dinoVit, head: { kind: "subpixel", outputs: 1, featureSize: 2 } },
    { model },
    {
      model: {
        family: "transunet-3d",
        channels: 1,
        outputs: 1,
        features: 4,
        levels: 2,
        depth: 1,
        heads: 2,
      },
    },
    {
      model: { family: "vit-3d", channels: 1, outputs: 1, patch: [2, 4, 4], embedDim: 8, depth: 1, heads: 2 },
    },
  ])("has one channel, within the bins' centres, and trains: %j", async (rest) => {
    using network = await PlacedNetwork.build(specification({ ...rest, output }), { seed: 1 });
    using input = filled("input", [2, 1, 2, 16, 16]);
    using answer = await network.forward(input);
    expect(answer.shape[1]).toBe(1);
    const values = await valuesOf(answer);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(-0.5);
    expect(Math.max(...values)).toBeLessThanOrEqual(2.5);

    // Every voxel is to be 2: halfway between two centres, so that two bins must share it.
    using target = Tensor.from(new Float32Array(product(answer.shape)).fill(2), answer.shape);
    using trainer = await Trainer.create(network, { loss: { kind: "l1" }, weightDecay: 0 });
    const losses: number[] = [];
    for (let step = 0; step < 40; step++) {
      const learningRate = 2e-2 * (1 - step / 40);
      losses.push((await trainer.step(input, target, { learningRate, seed: step })).loss);
    }
    expect(losses.at(-1)).toBeLessThan(0.3 * (losses[0] as number));
  });

  it.each([
    { encoder: convNeXt, head: { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 4 } },
    { encoder: convNeXt, head: { kind: "unetr", outputs: 1, featureSize: 2 } },
    { encoder: dinoVit, head: { kind: "conv1", outputs: 1 } },
    { encoder: dinoVit, head: { kind: "unetr", outputs: 1, featureSize: 2 } },
  ])("is added to the input where it is a difference: %j", async (rest) => {
    const difference = { bins: 8, low: -1, high: 1 };
    using alone = await PlacedNetwork.build(specification({ ...rest, output: difference }), { seed: 4 });
    using added = await PlacedNetwork.build(
      specification({ ...rest, output: { ...difference, addedToInput: true } }),
      { seed: 4 },
    );
    using input = filled("input", [2, 1, 2, 16, 16]);
    const shown = await valuesOf(input);
    using differences = await alone.forward(input);
    using answer = await added.forward(input);
    const changes = await valuesOf(differences);
    for (const [voxel, value] of (await valuesOf(answer)).entries())
      expect(value).toBeCloseTo((shown[voxel] as number) + (changes[voxel] as number), 5);
    // What a fresh head answers is near the image as it is shown.
    expect(Math.max(...changes.map(Math.abs))).toBeLessThan(0.5);
  });

  it("cannot be a difference from single slices", async () => {
    using network = await PlacedNetwork.build(
      specification({
        encoder: dinoVit,
        head: { kind: "conv1", outputs: 1 },
        output: { ...output, addedToInput: true },
      }),
    );
    using slices = filled("slices", [1, 3, 28, 28]);
    await expect(network.forward(slices)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("received slices"),
    });
  });

  it.each([
    { encoder: convNeXt, head: { kind: "upernet", hidden: 4, auxiliary: 4 }, last: "decode_head.classifier" },
    { encoder: dinoVit, head: { kind: "conv1", width: 1 }, last: "head.segmentation_conv.9" },
  ])("is the expectation at every voxel of the logits resized to it: %j", async (one) => {
    const { encoder, head, last } = one;
    using input = filled("input", [2, 1, 17, 20, 19]);
    using logits = await PlacedNetwork.build(specification({ encoder, head: { ...head, outputs: 4 } }), {
      seed: 3,
    });
    using network = await PlacedNetwork.build(
      specification({ encoder, head: { ...head, outputs: 1 }, output }),
      {
        seed: 3,
      },
    );
    // Large enough that shares differ.
    const state = await network.state();
    const weight = state[`${last}.weight`] as Tensor;
    const scaled = (await valuesOf(weight)).map((value) => 20 * value);
    const { shape } = weight;
    for (const tensor of Object.values(state)) tensor.dispose();
    const set = async (of: PlacedNetwork, values: number[]) => {
      using tensor = Tensor.from(Float32Array.from(values), shape);
      await of.assign({ [`${last}.weight`]: tensor });
    };
    await set(logits, scaled);
    await set(network, scaled);
    using answer = await network.forward(input);
    using ofBins = await logits.forward(input);
    expect(answer.shape).toEqual([2, 1, 17, 20, 19]);
    const [values, z] = [await valuesOf(answer), await valuesOf(ofBins)];
    const voxels = 17 * 20 * 19;
    let spread = 0;
    values.forEach((value, at) => {
      const [sample, voxel] = [Math.floor(at / voxels), at % voxels];
      const shares = centres.map((_, bin) => Math.exp(z[(sample * 4 + bin) * voxels + voxel] as number));
      const total = shares.reduce((sum, share) => sum + share, 0);
      const expected = centres.reduce(
        (sum, centre, bin) => sum + (centre * (shares[bin] as number)) / total,
        0,
      );
      expect(Math.abs(value - expected)).toBeLessThan(2e-6);
      spread = Math.max(spread, Math.abs(expected - 1));
    });
    expect(spread).toBeGreaterThan(0.02);
  });

  it("has a gradient that reaches the logits through the resizing", async () => {
    const head = { kind: "upernet", outputs: 1, hidden: 4, auxiliary: 4 };
    const last = "decode_head.classifier.weight";
    using network = await PlacedNetwork.build(specification({ encoder: convNeXt, head, output }), {
      seed: 3,
    });
    using input = filled("input", [2, 1, 17, 20, 19]);
    const weight = [...hashFill("weight", 16)].map((value) => 3 * value); // large enough that shares differ
    const set = async (values: number[]) => {
      using tensor = Tensor.from(Float32Array.from(values), [4, 4, 1, 1, 1]);
      await network.assign({ [last]: tensor });
    };
    // The mean absolute difference from 3, which lies above all centres, is 3 - mean: smooth, and its gradient known by
    // central differences.
    const mean = async (changed: number[]) => {
      await set(changed);
      using answer = await network.forward(input);
      const values = await valuesOf(answer);
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    };
    const step = 1e-2;
    let squares = 0;
    for (const index of weight.keys()) {
      const moved = (by: number) => weight.map((value, at) => (at === index ? value + by : value));
      squares += (((await mean(moved(step))) - (await mean(moved(-step)))) / (2 * step)) ** 2;
    }
    const expected = 3 - (await mean(weight));
    using trainer = await Trainer.create(network, {
      loss: { kind: "l1" },
      auxiliaryWeight: 0,
      trainable: [last],
    });
    const shape = [2, 1, 17, 20, 19];
    using target = Tensor.from(new Float32Array(product(shape)).fill(3), shape);
    const { loss, gradientNorm } = await trainer.step(input, target, { learningRate: 0, seed: 0 });
    expect(loss).toBeCloseTo(expected, 4);
    expect(squares).toBeGreaterThan(1e-4);
    expect(Math.abs(gradientNorm / Math.sqrt(squares) - 1)).toBeLessThan(1e-2);
  });

  it("reaches the auxiliary loss of UperNet as well", async () => {
    const head = { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 4 };
    using network = await PlacedNetwork.build(specification({ encoder: convNeXt, head, output }));
    const state = await network.state();
    for (const [name, tensor] of Object.entries(state)) {
      if (!/^(?:decode_head|auxiliary_head)\.classifier\./.test(name)) continue;
      using zeros = Tensor.from(new Float32Array(product(tensor.shape)), [...tensor.shape]);
      await network.assign({ [name]: zeros });
    }
    for (const tensor of Object.values(state)) tensor.dispose();
    using trainer = await Trainer.create(network, { loss: { kind: "l1" }, auxiliaryWeight: 0.5 });
    using input = filled("input", [1, 1, 16, 16, 16]);
    using target = Tensor.from(new Float32Array(16 ** 3).fill(3), [1, 1, 16, 16, 16]);
    // Both heads answer with the mean of the centres, 1: a loss of 2 each.
    const { loss } = await trainer.step(input, target, { learningRate: 0, seed: 0 });
    expect(loss).toBeCloseTo(2 + 0.5 * 2, 5);
  });

  it.each([
    [{ model, output: { ...output, bins: 1 } }, /2 to 4096 for output\.bins but received 1/],
    [{ model, output: { ...output, low: 3 } }, /output\.low below output\.high but received 3 and 3/],
    [{ model: { ...model, outputs: 2 }, output }, /1 for outputs .* but received 2/],
    [
      { encoder: convNeXt, head: { kind: "classifier", classes: 1 }, output },
      /a network that answers voxel by voxel/,
    ],
    [{ encoder: convNeXt, output }, /a network that answers voxel by voxel/],
  ])("is refused where it cannot be: %j", async (wrong, message) => {
    await expect(PlacedNetwork.build(specification(wrong))).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(message),
    });
  });
});
