import { describe, expect, it } from "vitest";
import type { NetworkSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { Tensor } from "../dist/native/tensor.js";
import { depthNames } from "../dist/study/cell/pooled-features.js";
import { hashFill } from "./hash-fill.js";

const convNext: NetworkSpec = {
  encoder: { family: "convnext-v2-3d", channels: 1, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] },
};
const resNet: NetworkSpec = {
  encoder: { family: "resnet-3d", channels: 1, features: 4, blocks: [1, 1, 1, 1] },
};
const vit = (depth: number) =>
  ({
    family: "dino-vit",
    channels: 3,
    patch: 8,
    embedDim: 12,
    depth,
    heads: 2,
    registers: 1,
    axisTokens: 2,
  }) as const;

/** Of each case and feature, over all other axes of a map [N, .., F, ..]. */
async function pooledBy(map: Tensor, axis: number) {
  const values = (await map.toArray()) as Float32Array;
  const { shape } = map;
  const [cases, features] = [shape[0] as number, shape[axis] as number];
  const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const perCase = values.length / cases;
  const sums = new Float64Array(cases * features);
  const largest = new Float64Array(cases * features).fill(-Infinity);
  for (let i = 0; i < values.length; i++) {
    const at = Math.floor(i / perCase) * features + (Math.floor(i / inner) % features);
    sums[at] = (sums[at] as number) + (values[i] as number);
    largest[at] = Math.max(largest[at] as number, values[i] as number);
  }
  return { mean: sums.map((sum) => sum / (perCase / features)), maximum: largest };
}

const close = async (got: Tensor, want: Float64Array, shape: number[]) => {
  expect(got.shape).toEqual(shape);
  const values = (await got.toArray()) as Float32Array;
  for (const [i, value] of want.entries()) expect(values[i]).toBeCloseTo(value, 5);
};

const sameBits = async (a: Tensor, b: Tensor) => expect(await a.toArray()).toEqual(await b.toArray());

describe("what an encoder says along the way", () => {
  it.each([
    ["ConvNeXt V2", convNext, [4, 8, 8, 16]],
    ["a ResNet", resNet, [16, 32, 64, 128]],
  ] as const)("is of %s the mean and the maximum over each of its four stages", async (_, spec, widths) => {
    using network = await PlacedNetwork.build(spec, { seed: 3 });
    using input = Tensor.from(Float32Array.from(hashFill("volume", 2 * 16 * 32 * 32)), [2, 1, 16, 32, 32]);
    using plain = await network.embed(input);
    using features = await network.embedAlong(input);
    await sameBits(features.pooled, plain.pooled);
    expect(depthNames(spec)).toEqual(["stage 1", "stage 2", "stage 3", "stage 4"]);
    expect(features.along).toHaveLength(4);
    for (const [index, depth] of features.along.entries()) {
      await sameBits(features.stages[index] as Tensor, plain.stages[index] as Tensor);
      const { mean, maximum } = await pooledBy(plain.stages[index] as Tensor, 1);
      const shape = [2, widths[index] as number];
      await close(depth.mean, mean, shape);
      await close(depth.maximum, maximum, shape);
      expect(depth.cls).toBeUndefined();
    }
    expect(network.embedded).toBe(4);
  });

  it("is of a vision transformer its patch tokens at four depths, whatever head stands on it", async () => {
    const input = Tensor.from(Float32Array.from(hashFill("slices", 2 * 3 * 16 * 24)), [2, 1, 3, 16, 24]);
    const seen = { encoder: vit(6), head: { kind: "unetr", outputs: 1, featureSize: 4 } } as NetworkSpec;
    const alone: NetworkSpec = { encoder: vit(6) };
    expect(depthNames(alone)).toEqual(["block 2", "block 3", "block 5", "block 6"]);
    using network = await PlacedNetwork.build(seen, { seed: 3 });
    using other = await PlacedNetwork.build(alone, { seed: 3 });
    using maps = await network.embed(input); // of the four depths, for UNETR
    using features = await network.embedAlong(input);
    using withoutHead = await other.embedAlong(input);
    using last = await other.embed(input);
    await close(features.pooled, Float64Array.from((await maps.pooled.toArray()) as Float32Array), [2, 12]);
    await sameBits(withoutHead.pooled, last.pooled);
    expect(withoutHead.stages).toHaveLength(1);
    await sameBits(withoutHead.stages[0] as Tensor, last.stages[0] as Tensor);
    expect(features.stages).toHaveLength(4);
    for (const [index, depth] of features.along.entries()) {
      await sameBits(features.stages[index] as Tensor, maps.stages[index] as Tensor);
      const { mean, maximum } = await pooledBy(maps.stages[index] as Tensor, 2);
      await close(depth.mean, mean, [2, 12]);
      await close(depth.maximum, maximum, [2, 12]);
      await sameBits(depth.mean, withoutHead.along[index]?.mean as Tensor);
      await sameBits(depth.cls as Tensor, withoutHead.along[index]?.cls as Tensor);
    }
    input.dispose();
  });

  it("has the class token of each slice, averaged", async () => {
    using network = await PlacedNetwork.build({ encoder: vit(4) }, { seed: 3 });
    const slice = hashFill("slice", 16 * 24);
    // Three equal slices: each is seen with two equal ones beside it, at its own place.
    using volume = Tensor.from(Float32Array.from([...slice, ...slice, ...slice]), [1, 1, 3, 16, 24]);
    using slices = Tensor.from(
      Float32Array.from(Array.from({ length: 9 }, () => [...slice]).flat()),
      [3, 3, 16, 24],
    );
    using position = Tensor.from(Float32Array.of(0, 3, 1, 3, 2, 3), [3, 2]);
    using features = await network.embedAlong(volume);
    using bySlice = await network.embed(slices, { position });
    const cls = (await bySlice.tokens.cls.toArray()) as Float32Array;
    const want = Float64Array.from({ length: 12 }, (_, i) => {
      return ((cls[i] as number) + (cls[12 + i] as number) + (cls[24 + i] as number)) / 3;
    });
    await close(features.along[3]?.cls as Tensor, want, [1, 12]);
  });

  it("leaves no tensor behind", async () => {
    const before = Tensor.live;
    using network = await PlacedNetwork.build(convNext, { seed: 3 });
    using input = Tensor.from(new Float32Array(16 * 32 * 32).fill(0.5), [1, 1, 16, 32, 32]);
    (await network.embedAlong(input))[Symbol.dispose]();
    expect(Tensor.live).toBe(before + 1);
  });
});
