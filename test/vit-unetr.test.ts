import { readFileSync } from "node:fs";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { DinoVitSpec, NetworkSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork, volumeFeatures } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";
import { fillParameters, relativeError } from "./parity-inputs.js";

beforeAll(() => setThreads(1));
afterEach(() => expect(Tensor.live).toBe(0));

const encoder: DinoVitSpec = {
  family: "dino-vit",
  channels: 3,
  patch: 8,
  embedDim: 24,
  depth: 6,
  heads: 2,
  registers: 1,
  axisTokens: 2,
};
const head = { kind: "unetr", outputs: 2, featureSize: 2 } as const;

interface Recorded {
  patch: number;
  shape: [number, number, number, number, number];
  step: number;
  values: number[];
  norm: number;
}
/** What the decoder answers in PyTorch; made by vit_unetr.py beside it. */
const recorded = JSON.parse(
  readFileSync(new URL("oracles/vit_unetr.json", import.meta.url), "utf8"),
) as Recorded[];

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const filled = (name: string, shape: number[]): Tensor =>
  Tensor.from(Float32Array.from(hashFill(name, product(shape))), shape);
const valuesOf = async (tensor: Tensor): Promise<Float32Array> => (await tensor.toArray()) as Float32Array;

describe("UNETR on a vision transformer", () => {
  it.each(recorded)(
    "decodes tokens as PyTorch does: patches of $patch",
    async ({ patch, shape, step, values, norm }) => {
      using network = await PlacedNetwork.build({ encoder: { ...encoder, patch }, head });
      await fillParameters(network);
      const [cases, , depth, height, width] = shape;
      using slices = filled("slices", [cases, 3, depth, height, width]);
      const grid = [cases, depth, 24, Math.ceil(height / patch), Math.ceil(width / patch)];
      const tokens = [0, 1, 2, 3].map((index) => filled(`tokens${index}`, grid));
      using features = volumeFeatures(filled("pooled", [cases, 24]), tokens);
      using answer = await network.decode(features, slices);
      expect(answer.shape).toEqual(shape);
      const answered = await valuesOf(answer);
      const sampled = Array.from(answered).filter((_, index) => index % step === 0);
      expect(relativeError(sampled, values)).toBeLessThan(1e-4);
      const length = Math.sqrt(answered.reduce((sum, value) => sum + value ** 2, 0));
      expect(length / norm).toBeCloseTo(1, 4);
    },
  );

  it.each([
    [6, [2, 3, 5, 6]],
    [4, [1, 2, 3, 4]],
    [2, [1, 1, 2, 2]],
  ])("sees of %i blocks the tokens of transformers that end after %j", async (depth, ends) => {
    using network = await PlacedNetwork.build({ encoder: { ...encoder, depth }, head }, { seed: 3 });
    await fillParameters(network);
    const state = await network.state();
    using volume = filled("volume", [2, 1, 3, 16, 24]);
    using features = await network.embed(volume);
    expect(features.stages).toHaveLength(4);
    try {
      for (const [index, end] of ends.entries()) {
        using shorter = await PlacedNetwork.build({ encoder: { ...encoder, depth: end } });
        const names = new Set(shorter.parameters.map(({ name }) => name));
        await shorter.assign(Object.fromEntries(Object.entries(state).filter(([name]) => names.has(name))));
        using of = await shorter.embed(volume);
        const [last] = of.stages as [Tensor];
        expect(await valuesOf(features.stages[index] as Tensor)).toEqual(await valuesOf(last));
        if (end === depth)
          expect(relativeError(await valuesOf(features.pooled), await valuesOf(of.pooled))).toBeLessThan(
            1e-6,
          );
      }
    } finally {
      for (const tensor of Object.values(state)) tensor.dispose();
    }
  });

  // 18 slices: more than go through the transformer at once; 13 x 20 pixels: no whole patches.
  it.each([1, 3])("answers volumes of any size from their features alone: %i channels", async (channels) => {
    using network = await PlacedNetwork.build({ encoder, head }, { seed: 2 });
    using volume = filled("volume", [1, channels, 18, 13, 20]);
    using answer = await network.forward(volume);
    expect(answer.shape).toEqual([1, 2, 18, 13, 20]);
    using features = await network.embed(volume);
    using decoded = await network.decode(features, volume);
    expect(await valuesOf(decoded)).toEqual(await valuesOf(answer));
  });

  it("tells single voxels, which conv1 does not", async () => {
    /** How much more one voxel of the answer moves than the ones around it, when that voxel of the input does. */
    const sharpness = async (spec: NetworkSpec): Promise<number> => {
      using network = await PlacedNetwork.build(spec, { seed: 2 });
      const [depth, height, width] = [5, 24, 24];
      const values = Float32Array.from(hashFill("volume", depth * height * width));
      const at = (z: number, y: number, x: number) => (z * height + y) * width + x;
      using volume = Tensor.from(values, [1, 1, depth, height, width]);
      using before = await network.forward(volume);
      values[at(2, 11, 12)] = 5;
      using moved = Tensor.from(values, [1, 1, depth, height, width]);
      using after = await network.forward(moved);
      const [one, other] = [await valuesOf(before), await valuesOf(after)];
      const change = (z: number, y: number, x: number) => Math.abs(other[at(z, y, x)] - one[at(z, y, x)]);
      // The corners of its patch, eight voxels wide.
      const around = [change(2, 8, 8), change(2, 8, 15), change(2, 15, 8), change(2, 15, 15)];
      return change(2, 11, 12) / Math.max(...around);
    };
    expect(await sharpness({ encoder, head: { kind: "unetr", outputs: 1, featureSize: 2 } })).toBeGreaterThan(
      3,
    );
    expect(await sharpness({ encoder, head: { kind: "conv1", outputs: 1, width: 4 } })).toBeLessThan(1);
  });

  it("refuses slices, which it does not answer one by one", async () => {
    using network = await PlacedNetwork.build({ encoder, head });
    using slices = filled("slices", [1, 3, 16, 16]);
    using position = Tensor.from(Float32Array.from([0, 1]), [1, 2]);
    await expect(network.forward(slices, { position })).rejects.toThrow(/Expected a volume.*unetr head/);
  });
});
