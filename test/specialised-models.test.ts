import { afterEach, describe, expect, it } from "vitest";
import type { ModelSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { type LossSpec, Trainer } from "../dist/native/trainer.js";
import { hashFill } from "./hash-fill.js";

setThreads(1); // these networks are too small for more to help

const models = {
  transunet: {
    family: "transunet-3d",
    channels: 2,
    outputs: 1,
    features: 4,
    levels: 3,
    depth: 1,
    heads: 2,
  },
  "transunet, depth doubled": {
    family: "transunet-3d",
    channels: 2,
    outputs: 1,
    depthScale: 2,
    features: 4,
    levels: 3,
    depth: 1,
    heads: 2,
  },
  vit: { family: "vit-3d", channels: 2, outputs: 1, patch: [2, 4, 4], embedDim: 64, depth: 1, heads: 2 },
  "diffusion-unet": { family: "diffusion-unet-3d", channels: 3, outputs: 1, features: 8, levels: 2 },
} as const satisfies Record<string, object>;
type Name = keyof typeof models;
const names = Object.keys(models) as Name[];
const build = (name: Name, seed = 1) =>
  PlacedNetwork.build({ model: structuredClone(models[name]) as unknown as ModelSpec }, { seed });

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const filled = (name: string, shape: number[]): Tensor =>
  Tensor.from(Float32Array.from(hashFill(name, product(shape))), shape);
const valuesOf = async (tensor: Tensor): Promise<Float32Array> => (await tensor.toArray()) as Float32Array;

/** Image channels [N, C, D, H, W] with the time in one more channel. */
function timed(images: Float32Array, shape: number[], times: number[]): Tensor {
  const [samples, channels, ...space] = shape as [number, number, number, number, number];
  const voxels = product(space);
  const values = new Float32Array(samples * (channels + 1) * voxels);
  for (let sample = 0; sample < samples; sample++) {
    const start = sample * (channels + 1) * voxels;
    values.set(images.subarray(sample * channels * voxels, (sample + 1) * channels * voxels), start);
    values.fill(times[sample] as number, start + channels * voxels, start + (channels + 1) * voxels);
  }
  return Tensor.from(values, [samples, channels + 1, ...space]);
}

/** Losses of `steps` steps on the one batch. */
async function overfit(
  network: PlacedNetwork,
  input: Tensor,
  target: Tensor,
  steps: number,
  learningRate: number,
): Promise<number[]> {
  const loss: LossSpec = { kind: "l1" };
  using trainer = await Trainer.create(network, { loss, weightDecay: 0 });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    // The rate falls to nothing, so that the last loss isn't that of a bounce.
    const rate = learningRate * (1 - step / steps);
    losses.push((await trainer.step(input, target, { learningRate: rate, seed: step })).loss);
  }
  return losses;
}

describe("specialised models", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  it.each(names)("answer at the size of the volume, odd sizes too: %s", async (name) => {
    using network = await build(name);
    for (const size of [
      [1, 5, 7, 9],
      [2, 4, 8, 6],
    ]) {
      const [samples, depth, ...plane] = size as [number, number, number, number];
      using input = filled("input", [samples, models[name].channels, depth, ...plane]);
      using answer = await network.forward(input);
      const scale = name === "transunet, depth doubled" ? 2 : 1;
      expect(answer.shape).toEqual([samples, 1, scale * depth, ...plane]);
      expect((await valuesOf(answer)).every(Number.isFinite)).toBe(true);
    }
  });

  it.each(names)("draw their weights from the seed: %s", async (name) => {
    const states: Map<string, Float32Array>[] = [];
    for (const seed of [1, 1, 2]) {
      using network = await build(name, seed);
      const state = await network.state();
      states.push(new Map());
      for (const [key, tensor] of Object.entries(state)) {
        states.at(-1)?.set(key, await valuesOf(tensor));
        tensor.dispose();
      }
    }
    expect(states[1]).toEqual(states[0]);
    expect(states[2]).not.toEqual(states[0]);
  });

  it("answer the same with the state of another as that one does", async () => {
    for (const name of names) {
      using source = await build(name, 1);
      using target = await build(name, 2);
      using input = filled("input", [1, models[name].channels, 4, 8, 8]);
      // A diffusion U-Net answers 0 at first: a step of training makes its state worth copying.
      using shape = await source.forward(input);
      using goal = filled("goal", shape.shape);
      await overfit(source, input, goal, 2, 1e-3);
      const state = await source.state();
      await target.assign(state);
      for (const tensor of Object.values(state)) tensor.dispose();
      using one = await source.forward(input);
      using other = await target.forward(input);
      expect((await valuesOf(one)).some((value) => value !== 0)).toBe(true);
      expect(await valuesOf(other)).toEqual(await valuesOf(one));
    }
  });

  it.each([
    ["transunet", "out."],
    ["vit", "reconstruct."],
  ] as const)("add to the first channel nothing where their last layer is zero: %s", async (name, layer) => {
    const doubled = name === "transunet" ? "transunet, depth doubled" : name;
    using network = await build(doubled);
    for (const { name: parameter, shape } of network.parameters.filter((entry) =>
      entry.name.startsWith(layer),
    )) {
      using zeros = Tensor.from(new Float32Array(product(shape)), shape);
      await network.assign({ [parameter]: zeros });
    }
    const [depth, plane] = [3, 5 * 7];
    using input = filled("input", [1, 2, depth, 5, 7]);
    using answer = await network.forward(input);
    const first = (await valuesOf(input)).slice(0, depth * plane);
    const repeat = doubled === name ? 1 : 2;
    const wanted = Float32Array.from({ length: repeat * depth * plane }, (_, index) => {
      const slice = Math.floor(index / plane / repeat);
      return first[slice * plane + (index % plane)] as number;
    });
    expect(await valuesOf(answer)).toEqual(wanted);
  });

  it("let a vision transformer's patches see one another", async () => {
    using network = await build("vit");
    const shape = [1, 2, 4, 8, 8];
    const values = Float32Array.from(hashFill("input", product(shape)));
    using before = Tensor.from(values, shape);
    values[values.length - 1] += 1; // a voxel of the second channel in the last patch
    using after = Tensor.from(values, shape);
    using one = await network.forward(before);
    using other = await network.forward(after);
    // The first voxel lies in the first patch, and its own input is the same.
    expect((await valuesOf(other))[0]).not.toBe((await valuesOf(one))[0]);
  });
});

describe("the diffusion U-Net", () => {
  afterEach(() => expect(Tensor.live).toBe(0));
  const shape = [4, 2, 4, 8, 8];
  const voxels = 4 * 8 * 8;

  it("learns the noise in one batch of several times, and predicts none before", async () => {
    using network = await build("diffusion-unet");
    const times = [0.05, 0.3, 0.6, 0.95];
    const clean = hashFill("clean", voxels);
    const condition = hashFill("condition", voxels);
    const noise = Float32Array.from(hashFill("noise", 4 * voxels));
    const images = new Float32Array(product(shape));
    times.forEach((time, sample) => {
      for (let voxel = 0; voxel < voxels; voxel++) {
        const kept = Math.cos((time * Math.PI) / 2) ** 2;
        const at = sample * 2 * voxels + voxel;
        images[at] =
          Math.sqrt(kept) * (clean[voxel] as number) +
          Math.sqrt(1 - kept) * (noise[sample * voxels + voxel] as number);
        images[at + voxels] = condition[voxel] as number;
      }
    });
    using input = timed(images, shape, times);
    using target = Tensor.from(noise, [4, 1, 4, 8, 8]);
    using first = await network.forward(input);
    expect((await valuesOf(first)).every((value) => value === 0)).toBe(true);
    const losses = await overfit(network, input, target, 200, 1e-2);
    expect(losses.at(-1)).toBeLessThan(0.25 * (losses[0] as number));
  });

  it("tells apart samples that differ in their time alone", async () => {
    using network = await build("diffusion-unet");
    const one = Float32Array.from(hashFill("image", 2 * voxels));
    const images = new Float32Array(product(shape));
    for (let sample = 0; sample < 4; sample++) images.set(one, sample * 2 * voxels);
    // A quarter of the batch each: without the time, no network could do better than their middle.
    const times = [0, 0.25, 0.5, 1];
    const levels = [-1, 0.5, 1, 2];
    using input = timed(images, shape, times);
    const wanted = levels.flatMap((level) => Array<number>(voxels).fill(level));
    using target = Tensor.from(Float32Array.from(wanted), [4, 1, 4, 8, 8]);
    const losses = await overfit(network, input, target, 120, 1e-2);
    expect(losses[0]).toBeCloseTo(4.5 / 4, 5);
    expect(losses.at(-1)).toBeLessThan(0.15); // one answer to all costs 3.5 / 4 at best

    // Each sample is told its own time: in another order, the answers come in that order.
    using turned = timed(images, shape, [...times].reverse());
    using answer = await network.forward(turned);
    const values = await valuesOf(answer);
    levels.toReversed().forEach((level, sample) => {
      const own = values.subarray(sample * voxels, (sample + 1) * voxels);
      expect(own.reduce((sum, value) => sum + value, 0) / voxels).toBeCloseTo(level, 0);
    });
  });
});

describe("specifications of specialised models", () => {
  it.each([
    [{ ...models.transunet, heads: 3 }, /heads that divide the 16 channels.*received 3/],
    [{ ...models.transunet, levels: 1 }, /2 to 8 for model\.levels but received 1/],
    [{ ...models.transunet, depthScale: 3 }, /1 to 2 for model\.depthScale but received 3/],
    [{ ...models.vit, heads: 5 }, /heads that divide.*64.*received 5/],
    [{ ...models.vit, patch: [2, 4] }, /3 whole numbers for model\.patch/],
    [{ ...models.vit, patch: [0, 4, 4] }, /1 to 256 for model\.patch\[0\] but received 0/],
    [{ ...models["diffusion-unet"], channels: 1 }, /2 to 4096 for model\.channels but received 1/],
    [{ ...models["diffusion-unet"], features: 7 }, /an even number/],
    [{ ...models.vit, family: "vit" }, /unet-3d or vit-3d for model\.family but received vit/],
  ])("are refused where no such network can be: %o", async (model, message) => {
    await expect(PlacedNetwork.build({ model: model as never })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(message),
    });
  });

  it.each(names)("refuse an input of other channels: %s", async (name) => {
    using network = await build(name);
    using input = filled("input", [1, models[name].channels + 1, 4, 8, 8]);
    await expect(network.forward(input)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/Expected an input \[N, \d, D, H, W\]/),
    });
  });
});
