import { afterEach, describe, expect, it } from "vitest";
import { Network, type NetworkSpec, Trainer } from "../dist/native/network.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
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
async function setLogits(network: Network, logits: number[], scale = 1): Promise<void> {
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
    using network = await Network.build(specification({ model, output }));
    await setLogits(network, [...logits]);
    using volume = filled("volume", [2, 1, 3, 4, 5]);
    using answer = await network.forward(volume);
    expect(answer.shape).toEqual([2, 1, 3, 4, 5]);
    for (const value of await valuesOf(answer)) expect(value).toBeCloseTo(expected, 5);
  });

  it("does not see what a doubling network adds of its input, which all bins share", async () => {
    using network = await Network.build(specification({ model: { ...model, depthScale: 2 }, output }));
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
    using network = await Network.build(specification({ ...rest, output }), { seed: 1 });
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

  it("reaches the auxiliary loss of UperNet as well", async () => {
    const head = { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 4 };
    using network = await Network.build(specification({ encoder: convNeXt, head, output }));
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
    await expect(Network.build(specification(wrong))).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(message),
    });
  });
});
