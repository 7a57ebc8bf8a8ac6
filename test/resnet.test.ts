import { afterEach, describe, expect, it } from "vitest";
import type { ModelSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { Trainer } from "../dist/native/trainer.js";
import { hashFill } from "./hash-fill.js";

setThreads(1);

const small = {
  family: "resnet-3d",
  channels: 2,
  classes: 3,
  features: 4,
  blocks: [2, 1, 1, 1],
} satisfies ModelSpec;

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const filled = (name: string, shape: number[]): Tensor =>
  Tensor.from(Float32Array.from(hashFill(name, product(shape))), shape);
const valuesOf = async (tensor: Tensor): Promise<number[]> => [...((await tensor.toArray()) as Float32Array)];
const parametersOf = (network: PlacedNetwork) => network.parameters.filter(({ buffer }) => !buffer);

/** The parameters of a ResNet-50 in so many dimensions, in closed form. */
function resNet50Parameters(dimensions: number, inputs: number, classes: number): number {
  // A convolution of width k from a to b channels, and its norm's scale and shift.
  const convolution = (a: number, b: number, k: number): number => k ** dimensions * a * b + 2 * b;
  let count = convolution(inputs, 64, 7);
  let channels = 64;
  [3, 4, 6, 3].forEach((blocks, stage) => {
    const width = 64 * 2 ** stage;
    for (let block = 0; block < blocks; block++) {
      count += convolution(channels, width, 1) + convolution(width, width, 3);
      count += convolution(width, 4 * width, 1);
      if (block === 0) count += convolution(channels, 4 * width, 1);
      channels = 4 * width;
    }
  });
  return count + 2048 * classes + classes;
}

describe("the 3D ResNet", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  it("has ResNet-50's parameters, counted in closed form", async () => {
    using network = await PlacedNetwork.build({
      model: { family: "resnet-3d", channels: 1, classes: 4, features: 64, blocks: [3, 4, 6, 3] },
    });
    // The published 2D network's 25,557,032 parameters show the count to be right.
    expect(resNet50Parameters(2, 3, 1000)).toBe(25_557_032);
    const counted = parametersOf(network).reduce((sum, { shape }) => sum + product(shape), 0);
    expect(counted).toBe(resNet50Parameters(3, 1, 4));
    expect(parametersOf(network)).toHaveLength(161); // as many tensors as the published 2D network has
  });

  it("names its parameters as torchvision does", async () => {
    using network = await PlacedNetwork.build({ model: small });
    const shapes = Object.fromEntries(network.parameters.map(({ name, shape }) => [name, shape]));
    expect(shapes).toMatchObject({
      "conv1.weight": [4, 2, 7, 7, 7],
      "bn1.running_var": [4],
      "layer1.0.conv1.weight": [4, 4, 1, 1, 1],
      "layer1.0.conv2.weight": [4, 4, 3, 3, 3],
      "layer1.0.conv3.weight": [16, 4, 1, 1, 1],
      "layer1.0.bn3.bias": [16],
      "layer1.0.downsample.0.weight": [16, 4, 1, 1, 1],
      "layer1.0.downsample.1.weight": [16],
      "layer1.1.conv1.weight": [4, 16, 1, 1, 1],
      "layer4.0.downsample.0.weight": [128, 64, 1, 1, 1],
      "fc.weight": [3, 128],
    });
    expect(shapes).not.toHaveProperty(["layer1.1.downsample.0.weight"]);
    expect(shapes).not.toHaveProperty(["conv1.bias"]);
  });

  it("answers with logits for volumes of any size, each sample by itself", async () => {
    using network = await PlacedNetwork.build({ model: small }, { seed: 3 });
    const voxels = 5 * 33 * 20;
    const values = Float32Array.from(hashFill("volumes", 2 * 2 * voxels));
    using both = Tensor.from(values, [2, 2, 5, 33, 20]);
    using one = Tensor.from(values.slice(2 * voxels), [1, 2, 5, 33, 20]);
    using logits = await network.forward(both);
    using second = await network.forward(one);
    expect(logits.shape).toEqual([2, 3]);
    const all = await valuesOf(logits);
    const alone = await valuesOf(second);
    expect(alone.every(Number.isFinite)).toBe(true);
    alone.forEach((value, index) => {
      expect(value).toBeCloseTo(all[3 + index] as number, 4);
    });
    expect(all.slice(0, 3)).not.toEqual(all.slice(3));
    using tiny = filled("tiny", [1, 2, 1, 1, 1]);
    using answer = await network.forward(tiny);
    expect(answer.shape).toEqual([1, 3]);
  });

  it("refuses to train on a single voxel a channel, and sizes that no such network has", async () => {
    using network = await PlacedNetwork.build({ model: small });
    using trainer = await Trainer.create(network, { loss: { kind: "cross-entropy" } });
    using input = filled("batch", [1, 2, 8, 32, 32]);
    using target = Tensor.from(BigInt64Array.from([0n]), [1]);
    await expect(trainer.step(input, target, { learningRate: 1e-3, seed: 0 })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/at least 2 samples a batch/),
    });
    await expect(PlacedNetwork.build({ model: { ...small, blocks: [1, 1, 0, 1] } })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/1 to 1000 for model\.blocks\[2\] but received 0/),
    });
    using wrong = filled("batch", [1, 3, 8, 8, 8]);
    await expect(network.forward(wrong)).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});
