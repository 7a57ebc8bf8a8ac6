import { readFileSync } from "node:fs";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Network } from "../dist/models/network.js";
import type { HeadSpec, ResNetEncoderSpec } from "../dist/native/network-spec.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { Trainer } from "../dist/native/trainer.js";
import { hashFill } from "./hash-fill.js";
import { expectSample, fillParameters, type ParityInput, parityInput, type Sample } from "./parity-inputs.js";

beforeAll(() => setThreads(1));
afterEach(() => expect(Tensor.live).toBe(0));

interface Recorded {
  encoder: ResNetEncoderSpec;
  tensors: number;
  parameters: number;
  answers: { input: ParityInput; stages: Sample[]; pooled: Sample }[];
}
/** What the network answers in PyTorch; made by resnet_encoder.py beside it. */
const recorded = JSON.parse(
  readFileSync(new URL("oracles/resnet_encoder.json", import.meta.url), "utf8"),
) as { small: Recorded & { shapes: Record<string, number[]> }; full: Recorded };
const { small, full } = recorded;

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const filled = (name: string, shape: number[]): Tensor =>
  Tensor.from(Float32Array.from(hashFill(name, product(shape))), shape);

describe("the 3D ResNet encoder", () => {
  it.each([
    ["a small one", small],
    ["ResNet-50", full],
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

  it("has torchvision's names and shapes, and a head puts them under encoder.", async () => {
    const { encoder, shapes } = small;
    using alone = await Network.create({ encoder });
    expect(Object.fromEntries(alone.parameters.map(({ name, shape }) => [name, shape]))).toEqual(shapes);
    using headed = await Network.create({ encoder, head: { kind: "classifier", classes: 3, bottleneck: 4 } });
    const below = headed.parameters.filter(({ name }) => !name.startsWith("head."));
    expect(below.map(({ name }) => name)).toEqual(Object.keys(shapes).map((name) => `encoder.${name}`));
  });

  it.each([
    [{ kind: "classifier", classes: 3, bottleneck: 4 }, [2, 3]],
    [{ kind: "upernet", outputs: 2, hidden: 4, auxiliary: 4 }, [2, 2, 9, 40, 33]],
    [{ kind: "unetr", outputs: 2, featureSize: 2 }, [2, 2, 9, 40, 33]],
    [{ kind: "subpixel", outputs: 1, featureSize: 2 }, [2, 1, 18, 40, 33]],
  ] satisfies [HeadSpec, number[]][])("carries the head %o", async (head, shape) => {
    using network = await Network.create({ encoder: small.encoder, head, seed: 1 });
    using input = filled("volumes", [2, 2, 9, 40, 33]);
    using answer = await network.forward(input);
    expect(answer.shape).toEqual(shape);
    // The head alone, from the encoder's features, answers as the whole.
    using features = await network.embed(input);
    using decoded = await network.decode(features, input);
    expect(await decoded.toArray()).toEqual(await answer.toArray());
  });

  it("refuses the heads of other families, and sizes that no such network has", async () => {
    const { encoder } = small;
    await expect(Network.create({ encoder, head: { kind: "conv1", outputs: 1 } })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/resnet-3d but received conv1/),
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
    const values = Float32Array.from(hashFill("volumes", product(shape)), (value, at) => {
      const [w, h] = [at % 32, Math.floor(at / 32) % 32];
      const patch = Math.floor(h / 16) * 2 + Math.floor(w / 16);
      const sample = Math.floor(at / product(shape.slice(1)));
      return mask[4 * sample + patch] === kind ? change(value) : value;
    });
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

  it("trains every stage of the encoder", async () => {
    using network = await Network.create({ encoder: small.encoder, head, seed: 1 });
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
