import { afterEach, describe, expect, it } from "vitest";
import { headParameters } from "../dist/models/parameters.js";
import type { DinoVitSpec, HeadSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";

setThreads(1);

const encoder: DinoVitSpec = {
  family: "dino-vit",
  channels: 3,
  patch: 14,
  embedDim: 24,
  depth: 2,
  heads: 2,
  registers: 1,
  axisTokens: 2,
};
const classifier: HeadSpec = { kind: "classifier", classes: 4, bottleneck: 16 };
const subpixel: HeadSpec = { kind: "subpixel", outputs: 1, featureSize: 4 };

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const filled = (name: string, shape: number[]): Tensor =>
  Tensor.from(Float32Array.from(hashFill(name, product(shape))), shape);
const valuesOf = async (tensor: Tensor): Promise<number[]> => [...((await tensor.toArray()) as Float32Array)];

/** The exact GELU, its error function by its series. */
function gelu(x: number): number {
  const z = x / Math.SQRT2;
  let term = z;
  let sum = z;
  for (let n = 1; n < 60; n++) {
    term *= (-z * z) / n;
    sum += term / (2 * n + 1);
  }
  return (x / 2) * (1 + (2 / Math.sqrt(Math.PI)) * sum);
}

describe("a classifier on a vision transformer", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  it.each([1, 3])(
    "is three linear layers with GELU on the pooled features: %i channels",
    async (channels) => {
      using network = await PlacedNetwork.build({ encoder, head: classifier }, { seed: 5 });
      using volumes = filled("volumes", [2, channels, 3, 20, 28]);
      using embedded = await network.embed(volumes);
      let features = await valuesOf(embedded.pooled);
      const state = await network.state();
      const layer = async (name: string, input: number[]): Promise<number[]> => {
        const weight = await valuesOf(state[`head.${name}.weight`] as Tensor);
        const bias = await valuesOf(state[`head.${name}.bias`] as Tensor);
        const [out, width] = (state[`head.${name}.weight`] as Tensor).shape as [number, number];
        return Array.from({ length: 2 * out }, (_, at) => {
          const [sample, row] = [Math.floor(at / out), at % out];
          let sum = bias[row] as number;
          for (let i = 0; i < width; i++)
            sum += (weight[row * width + i] as number) * (input[sample * width + i] as number);
          return sum;
        });
      };
      features = (await layer("0", features)).map(gelu);
      features = (await layer("2", features)).map(gelu);
      const expected = await layer("4", features);
      for (const tensor of Object.values(state)) tensor.dispose();

      using logits = await network.forward(volumes);
      expect(logits.shape).toEqual([2, 4]);
      (await valuesOf(logits)).forEach((value, index) => {
        expect(value).toBeCloseTo(expected[index] as number, 4);
      });
    },
  );
});

describe("the subpixel head on a vision transformer", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  it.each([1, 3])(
    "answers with the first channel, each slice twice, plus what it adds: %i channels",
    async (channels) => {
      using network = await PlacedNetwork.build({ encoder, head: subpixel }, { seed: 2 });
      const [depth, plane] = [3, 20 * 25];
      using volumes = filled("volumes", [2, channels, depth, 20, 25]);
      using untouched = await network.forward(volumes);
      expect(untouched.shape).toEqual([2, 1, 2 * depth, 20, 25]);

      // With its last layer at zero but for the second bias, the head adds that to every second slice.
      using weight = Tensor.from(new Float32Array(2 * 4), [2, 4, 1, 1, 1]);
      using bias = Tensor.from(Float32Array.from([0, 0.5]), [2]);
      await network.assign({ "head.out.weight": weight, "head.out.bias": bias });
      using answer = await network.forward(volumes);
      const image = await valuesOf(volumes);
      const found = await valuesOf(answer);
      expect(found).not.toEqual(await valuesOf(untouched));
      found.forEach((value, index) => {
        const sample = Math.floor(index / (2 * depth * plane));
        const slice = Math.floor(index / plane) % (2 * depth);
        const from = sample * channels * depth * plane + Math.floor(slice / 2) * plane + (index % plane);
        const expected = (image[from] as number) + (slice % 2) * 0.5;
        if (Math.abs(value - expected) > 1e-6) expect(value).toBeCloseTo(expected, 6);
      });
    },
  );

  it("refuses slices, which have no depth to double", async () => {
    using network = await PlacedNetwork.build({ encoder, head: subpixel });
    using slices = filled("slices", [1, 3, 14, 14]);
    using position = Tensor.from(Float32Array.from([0, 1]), [1, 2]);
    await expect(network.forward(slices, { position })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/a volume \[N, C, D, H, W\] for the subpixel head/),
    });
  });
});

describe("both heads", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  it.each([classifier, subpixel])("leave the encoder as its seed draws it: $kind", async (head) => {
    using bare = await PlacedNetwork.build({ encoder }, { seed: 7 });
    using network = await PlacedNetwork.build({ encoder, head }, { seed: 7 });
    const [own, other] = [await bare.state(), await network.state()];
    for (const [name, tensor] of Object.entries(own))
      expect(await valuesOf(other[name] as Tensor)).toEqual(await valuesOf(tensor));
    for (const tensor of [...Object.values(own), ...Object.values(other)]) tensor.dispose();
    const names = headParameters(network);
    expect(names.length).toBeGreaterThan(4);
    expect(names.every((name) => name.startsWith("head."))).toBe(true);
  });

  it.each([classifier, subpixel])(
    "refuse channels that the encoder's are no multiple of: $kind",
    async (head) => {
      using network = await PlacedNetwork.build({ encoder, head });
      using volume = filled("volume", [1, 2, 3, 14, 14]);
      await expect(network.forward(volume)).rejects.toMatchObject({ code: "BAD_INPUT" });
    },
  );
});
