import { readFileSync } from "node:fs";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { resNetEncoder } from "../dist/models/architectures/resnet-3d.js";
import { encoders } from "../dist/models/catalogue.js";
import { Network } from "../dist/models/network.js";
import type { HeadSpec, ResNetEncoderSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { Trainer } from "../dist/native/trainer.js";
import { hashFill } from "./hash-fill.js";
import {
  expectSample,
  fillParameters,
  type ParityInput,
  parityInput,
  relativeError,
  type Sample,
} from "./parity-inputs.js";

beforeAll(() => setThreads(1));
afterEach(() => expect(Tensor.live).toBe(0));

interface Recorded {
  encoder: ResNetEncoderSpec;
  tensors: number;
  parameters: number;
  answers: { input: ParityInput; stages: Sample[]; pooled: Sample }[];
}
type WithShapes = Recorded & { shapes: Record<string, number[]> };
/** What the network answers in PyTorch; made by resnet_encoder.py beside it. */
const recorded = JSON.parse(
  readFileSync(new URL("oracles/resnet_encoder.json", import.meta.url), "utf8"),
) as { small: WithShapes; others: [WithShapes, WithShapes, WithShapes, WithShapes]; full: Recorded };
const { small, others, full } = recorded;
const [basic, padded, inflated, unpooled] = others;

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const filled = (name: string, shape: number[]): Tensor =>
  Tensor.from(Float32Array.from(hashFill(name, product(shape))), shape);

describe("the 3D ResNet encoder", () => {
  it.each([
    ["a small one", small],
    ["ResNet-50", full],
    ["basic blocks", basic],
    ["basic blocks whose shortcuts are padded", padded],
    ["the stem of an inflated network", inflated],
    ["a stem without pooling", unpooled],
  ] as const)("answers as PyTorch does: %s", async (_, { encoder, tensors, parameters, answers }) => {
    using network = await Network.create({ encoder });
    expect(network.parameters).toHaveLength(tensors);
    const counted = network.parameters.filter(({ buffer }) => !buffer);
    expect(counted.reduce((sum, { shape }) => sum + product(shape), 0)).toBe(parameters);
    await fillParameters(network);
    for (const { input, stages, pooled } of answers) {
      using volume = parityInput(input);
      const features = await network.embed(volume);
      try {
        expect(features.stages).toHaveLength(4);
        for (const [stage, tensor] of features.stages.entries())
          await expectSample(tensor, stages[stage] as Sample);
        await expectSample(features.pooled, pooled);
      } finally {
        features[Symbol.dispose]();
      }
    }
  });

  it.each([
    ["bottlenecks", small],
    ["basic blocks", basic],
    ["padded shortcuts", padded],
    ["another stem", inflated],
  ] as const)(
    "has torchvision's names and shapes, and a head puts them under encoder.: %s",
    async (_, of) => {
      const { encoder, shapes } = of;
      using alone = await Network.create({ encoder });
      expect(Object.fromEntries(alone.parameters.map(({ name, shape }) => [name, shape]))).toEqual(shapes);
      using headed = await Network.create({
        encoder,
        head: { kind: "classifier", classes: 3, bottleneck: 4 },
      });
      const below = headed.parameters.filter(({ name }) => !name.startsWith("head."));
      expect(below.map(({ name }) => name)).toEqual(Object.keys(shapes).map((name) => `encoder.${name}`));
    },
  );

  it.each([
    [{ kind: "classifier", classes: 3, bottleneck: 4 }, [2, 3]],
    [{ kind: "upernet", outputs: 2, hidden: 4, auxiliary: 4 }, [2, 2, 9, 40, 33]],
    [{ kind: "unetr", outputs: 2, featureSize: 2 }, [2, 2, 9, 40, 33]],
    [{ kind: "subpixel", outputs: 1, featureSize: 2 }, [2, 1, 18, 40, 33]],
  ] satisfies [HeadSpec, number[]][])(
    "carries the head %o, whatever its blocks and strides",
    async (head, shape) => {
      for (const { encoder } of [small, inflated, { encoder: { ...unpooled.encoder, channels: 2 } }]) {
        using network = await Network.create({ encoder, head, seed: 1 });
        using input = filled("volumes", [2, 2, 9, 40, 33]);
        using answer = await network.forward(input);
        expect(answer.shape).toEqual(shape);
        // The head alone, from the encoder's features, answers as the whole.
        using features = await network.embed(input);
        using decoded = await network.decode(features, input);
        const [alone, whole] = [await decoded.toArray(), await answer.toArray()];
        expect(relativeError(alone as Float32Array, whole as Float32Array)).toBeLessThan(1e-6);
      }
    },
  );

  it.each([
    [
      { stem: { kernel: [3, 6, 7], stride: [1, 2, 2] } },
      /odd numbers for encoder\.stem\.kernel but received 6/,
    ],
    [
      { stem: { kernel: [3, 7], stride: [1, 2, 2] } },
      /3 whole numbers for encoder\.stem\.kernel but received 2/,
    ],
    [
      { stem: { kernel: [3, 7, 7], stride: [0, 2, 2] } },
      /from 1 to 16 for encoder\.stem\.stride\[0\] but received 0/,
    ],
    [{ block: "wide" }, /bottleneck or basic for encoder\.block but received wide/],
    [{ stem: 3 }, /an object for encoder\.stem but received 3/],
    [{ features: "many" }, /a whole number for encoder\.features but received "many"/],
    [{ blocks: undefined }, /an array of whole numbers for encoder\.blocks but received undefined/],
  ])("refuses %o, saying what it takes there", async (change, message) => {
    // Past the checks of specifications in TypeScript: the addon is reached by others too.
    const encoder = { ...small.encoder, ...change } as never;
    await expect(PlacedNetwork.build({ encoder })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(message),
    });
  });

  it.each([
    ["resnet-18-encoder", 32.99e6],
    ["resnet-34-encoder", 63.31e6],
    ["resnet-101-encoder", 85.21e6],
    ["resnet-152-encoder", 117.37e6],
    ["astra-resnet-152", 117.37e6],
  ] as const)("has as many parameters as its architecture's file says, norms apart: %s", (name, about) => {
    const spec = encoders[name];
    expect(resNetEncoder.parameters(spec as ResNetEncoderSpec) / about).toBeCloseTo(1, 2);
  });

  it("counts its convolutions' weights in closed form", async () => {
    for (const { encoder } of [small, basic, padded, inflated, unpooled]) {
      using network = await Network.create({ encoder });
      const weights = network.parameters.filter(({ shape }) => shape.length === 5);
      expect(resNetEncoder.parameters(encoder)).toBe(
        weights.reduce((sum, { shape }) => sum + product(shape), 0),
      );
    }
  });

  it("refuses the heads of other families, and sizes that no such network has", async () => {
    const { encoder } = small;
    await expect(Network.create({ encoder, head: { kind: "conv1", outputs: 1 } })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/an encoder of volumes but received conv1/),
    });
    await expect(Network.create({ encoder: { ...encoder, blocks: [1, 1, 0, 1] } })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/blocks/),
    });
  });
});

describe("the masked autoencoder of a ResNet", () => {
  const head = { kind: "masked-autoencoder", decoderDim: 8 } as const;
  const shape = [2, 2, 16, 32, 32];
  const mask = [1, 0, 0, 1, 0, 1, 1, 0]; // of the 1 x 2 x 2 patches of two volumes

  /** The loss of one step on volumes whose patches of one kind are changed by `change`. */
  async function lossOf(kind: number, change: (value: number) => number): Promise<number> {
    const values = new Float32Array(
      hashFill("volumes", product(shape)).map((value, at) => {
        const [w, h] = [at % 32, Math.floor(at / 32) % 32];
        const patch = Math.floor(h / 16) * 2 + Math.floor(w / 16);
        const sample = Math.floor(at / product(shape.slice(1)));
        return mask[4 * sample + patch] === kind ? change(value) : value;
      }),
    );
    using network = await Network.create({ encoder: small.encoder, head });
    await fillParameters(network); // as it is drawn, the decoder hardly looks around
    using trainer = await Trainer.create(network, {
      loss: { kind: "masked-autoencoder", normaliseTargets: true },
    });
    using input = Tensor.from(values, shape);
    using target = Tensor.from(Uint8Array.from(mask), [2, 4]);
    return (await trainer.step(input, target, { learningRate: 1e-3, seed: 0 })).loss;
  }

  it("sees nothing of hidden patches, and what it sees counts", async () => {
    const plain = await lossOf(1, (value) => value);
    // A patch's target is normalised, so that it stays as it is where all of its voxels are scaled and shifted.
    expect(await lossOf(1, (value) => 3 * value + 2)).toBeCloseTo(plain, 4);
    expect(Math.abs((await lossOf(0, (value) => 3 * value + 2)) - plain)).toBeGreaterThan(1e-3);
  });

  it.each([
    ["the usual stem", small.encoder],
    ["that of an inflated network", inflated.encoder],
    ["one without pooling", { ...unpooled.encoder, channels: 2 }],
  ] as const)("trains every stage of the encoder with %s", async (_, encoder) => {
    using network = await Network.create({ encoder, head, seed: 1 });
    const before = await network.state();
    using trainer = await Trainer.create(network, { loss: { kind: "masked-autoencoder" }, weightDecay: 0 });
    using input = filled("volumes", shape);
    using target = Tensor.from(Uint8Array.from(mask), [2, 4]);
    await trainer.step(input, target, { learningRate: 1e-2, seed: 0 });
    const after = await network.state();
    for (const { name, buffer } of network.parameters) {
      const [old, now] = [before[name] as Tensor, after[name] as Tensor];
      if (!buffer && /conv\d\.weight|downsample\.0\.weight/.test(name))
        expect([name, await now.toArray()]).not.toEqual([name, await old.toArray()]);
    }
    for (const tensor of [...Object.values(before), ...Object.values(after)]) tensor.dispose();
  });
});
