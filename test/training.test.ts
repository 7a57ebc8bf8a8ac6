import { afterEach, describe, expect, it } from "vitest";
import type { ConvNeXtSpec, NetworkSpec, UNetSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { type LossSpec, Trainer } from "../dist/native/trainer.js";
import { hashFill } from "./hash-fill.js";
import { temporaryFolder } from "./temporary-folder.js";

const encoder: ConvNeXtSpec = {
  family: "convnext-v2-3d",
  channels: 2,
  depths: [1, 1, 1, 1],
  dims: [8, 8, 16, 16],
};
const unetModel: UNetSpec = { family: "unet-3d", channels: 2, outputs: 1, features: 4, levels: 2 };
const unet: NetworkSpec = { model: unetModel };
const shape = [2, 2, 16, 16, 16];

const filled = (name: string, dimensions: number[], scale = 1): Tensor =>
  Tensor.from(
    new Float32Array(
      hashFill(
        name,
        dimensions.reduce((a, b) => a * b),
      ).map((value) => scale * value),
    ),
    dimensions,
  );
const mask = (name: string, dimensions: number[]): Tensor =>
  Tensor.from(
    new Float32Array(
      hashFill(
        name,
        dimensions.reduce((a, b) => a * b),
      ).map((value) => (value > 0.4 ? 1 : 0)),
    ),
    dimensions,
  );

async function value(network: PlacedNetwork, name: string): Promise<Float32Array> {
  const state = await network.state();
  const values = (await state[name].toArray()) as Float32Array;
  for (const tensor of Object.values(state)) tensor.dispose();
  return values;
}

async function assign(
  network: PlacedNetwork,
  name: string,
  values: Float32Array,
  dimensions: number[],
): Promise<void> {
  using tensor = Tensor.from(values, dimensions);
  await network.assign({ [name]: tensor });
}

/** A trainer of a single scalar: the gradient's norm is then the gradient's size. */
const scalar = (network: PlacedNetwork, options = {}) =>
  Trainer.create(network, {
    loss: { kind: "tversky", alpha: 0.3, beta: 0.7 },
    trainable: ["out.bias"],
    ...options,
  });

setThreads(1); // these networks are too small for more to help

describe("a training step", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  it("computes the gradient that finite differences of the loss give", async () => {
    using network = await PlacedNetwork.build(unet, { seed: 3 });
    using trainer = await scalar(network);
    using input = filled("input", shape);
    using target = mask("target", [2, 1, 16, 16, 16]);
    const lossAt = async (bias: number) => {
      await assign(network, "out.bias", Float32Array.of(bias), [1]);
      return (await trainer.step(input, target, { learningRate: 0, seed: 1 })).loss;
    };
    const step = 0.05;
    const slope = ((await lossAt(0.1 + step)) - (await lossAt(0.1 - step))) / (2 * step);
    await assign(network, "out.bias", Float32Array.of(0.1), [1]);
    const { gradientNorm } = await trainer.step(input, target, { learningRate: 0, seed: 1 });
    expect(Math.abs(Math.abs(slope) - gradientNorm) / gradientNorm).toBeLessThan(1e-2);
  });

  it("follows AdamW (Loshchilov 2019) over several steps, without weight decay on a bias", async () => {
    using network = await PlacedNetwork.build(unet, { seed: 3 });
    using trainer = await scalar(network, { betas: [0.8, 0.95], weightDecay: 0.5 });
    using input = filled("input", shape);
    using target = mask("target", [2, 1, 16, 16, 16]);
    let [first, second, bias] = [0, 0, (await value(network, "out.bias"))[0]];
    for (let step = 1; step <= 4; step++) {
      const learningRate = 0.1 / step;
      const { gradientNorm } = await trainer.step(input, target, { learningRate, seed: step });
      const after = (await value(network, "out.bias"))[0];
      const gradient = -Math.sign(after - bias) * gradientNorm; // all four gradients have one sign here
      first = 0.8 * first + 0.2 * gradient;
      second = 0.95 * second + 0.05 * gradient ** 2;
      bias -= (learningRate * (first / (1 - 0.8 ** step))) / (Math.sqrt(second / (1 - 0.95 ** step)) + 1e-8);
      expect(after).toBeCloseTo(bias, 5);
    }
  });

  it("decays kernels towards zero by learning rate times weight decay, beside Adam's step", async () => {
    using network = await PlacedNetwork.build(unet, { seed: 3 });
    using trainer = await Trainer.create(network, {
      loss: { kind: "l1" },
      trainable: ["out.weight"],
      weightDecay: 0.5,
    });
    using input = filled("input", shape);
    using target = Tensor.from(new Float32Array(2 * 4096).fill(9), [2, 1, 16, 16, 16]); // far from every prediction
    const before = await value(network, "out.weight");
    await trainer.step(input, target, { learningRate: 0.01, seed: 1 });
    const after = await value(network, "out.weight");
    for (const [index, weight] of before.entries()) {
      // Adam's first step is the learning rate, whatever the gradient's size
      expect(Math.abs(after[index] - weight * (1 - 0.01 * 0.5))).toBeCloseTo(0.01, 5);
    }
  });

  it("clips the gradient's global norm before the moments see it", async () => {
    using network = await PlacedNetwork.build(unet, { seed: 3 });
    using trainer = await scalar(network, { gradientClip: 1e-4 });
    using input = filled("input", shape);
    using target = mask("target", [2, 1, 16, 16, 16]);
    const { gradientNorm } = await trainer.step(input, target, { learningRate: 0, seed: 1 });
    expect(gradientNorm).toBeGreaterThan(1e-3); // reported as it was
    const path = `${await temporaryFolder()}/moments.safetensors`;
    await trainer.save(path);
    const file = await readSafetensors(path);
    using moment = await file.tensor("first.out.bias");
    expect(Math.abs(Number((await moment.toArray())[0]))).toBeCloseTo(0.1 * 1e-4, 7);
  });

  it("trains only the parameters that it was told to", async () => {
    using network = await PlacedNetwork.build({
      encoder,
      head: { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 8 },
    });
    using trainer = await Trainer.create(network, {
      loss: { kind: "tversky", alpha: 0.3, beta: 0.7 },
      trainable: ["decode_head.", "auxiliary_head.", "hidden_norm."],
    });
    using input = filled("input", shape);
    using target = mask("target", [2, 1, 16, 16, 16]);
    const before = await network.state();
    await trainer.step(input, target, { learningRate: 0.01, seed: 1 });
    const after = await network.state();
    for (const name of Object.keys(before)) {
      const same = Buffer.from((await before[name].toArray()).buffer).equals(
        Buffer.from((await after[name].toArray()).buffer),
      );
      expect([name, same]).toEqual([name, name.startsWith("encoder.")]);
    }
    for (const tensor of [...Object.values(before), ...Object.values(after)]) tensor.dispose();
  });

  it("goes on bit for bit after its state was saved and loaded", async () => {
    const folder = await temporaryFolder();
    const spec: NetworkSpec = {
      encoder: { ...encoder, dropPath: 0.5 },
      head: { kind: "unetr", outputs: 1, featureSize: 4 },
    };
    const loss: LossSpec = { kind: "l1" };
    using input = filled("input", shape);
    using target = filled("target", [2, 1, 16, 16, 16]);
    const steps = async (trainer: Trainer, from: number, to: number) => {
      const losses = [];
      for (let seed = from; seed < to; seed++) {
        losses.push((await trainer.step(input, target, { learningRate: 1e-3, seed })).loss);
      }
      return losses;
    };
    using whole = await PlacedNetwork.build(spec, { seed: 1 });
    using wholeTrainer = await Trainer.create(whole, { loss });
    const uninterrupted = await steps(wholeTrainer, 0, 6);

    using before = await PlacedNetwork.build(spec, { seed: 1 });
    using trainer = await Trainer.create(before, { loss });
    const losses = await steps(trainer, 0, 3);
    await before.save(`${folder}/network.safetensors`);
    await trainer.save(`${folder}/optimiser.safetensors`, { note: "kept" });

    using after = await PlacedNetwork.build(spec, { seed: 99 });
    await after.restore(`${folder}/network.safetensors`);
    using resumed = await Trainer.create(after, { loss });
    expect((await resumed.load(`${folder}/optimiser.safetensors`)).note).toBe("kept");
    expect([...losses, ...(await steps(resumed, 3, 6))]).toEqual(uninterrupted);
  });

  it("says what to do when the loss is no longer a number", async () => {
    using network = await PlacedNetwork.build(unet);
    using trainer = await Trainer.create(network, { loss: { kind: "l1" } });
    using input = Tensor.from(new Float32Array(2 * 4096).fill(Number.NaN), [1, 2, 16, 16, 16]);
    using target = Tensor.from(new Float32Array(4096), [1, 1, 16, 16, 16]);
    await expect(trainer.step(input, target, { learningRate: 1e-3, seed: 1 })).rejects.toThrow(
      /lower the learning rate/,
    );
  });

  it.each<[string, NetworkSpec, LossSpec, number[]]>([
    [
      "UperNet",
      { encoder, head: { kind: "upernet", outputs: 1, hidden: 16, auxiliary: 8 } },
      { kind: "tversky", alpha: 0.3, beta: 0.7 },
      [2, 1, 16, 16, 16],
    ],
    [
      "UNETR",
      { encoder, head: { kind: "unetr", outputs: 1, featureSize: 4 } },
      { kind: "tversky", alpha: 0.3, beta: 0.7 },
      [2, 1, 16, 16, 16],
    ],
    [
      "the subpixel head",
      { encoder, head: { kind: "subpixel", outputs: 1, featureSize: 4 } },
      { kind: "l1" },
      [2, 1, 32, 16, 16],
    ],
    ["U-Net", unet, { kind: "tversky", alpha: 0.3, beta: 0.7 }, [2, 1, 16, 16, 16]],
    [
      "U-Net that doubles the depth",
      { model: { ...unetModel, depthScale: 2 } },
      { kind: "l1" },
      [2, 1, 32, 16, 16],
    ],
    [
      "the classifier",
      { encoder, head: { kind: "classifier", classes: 2, bottleneck: 8 } },
      { kind: "cross-entropy", weights: [1, 2] },
      [2],
    ],
  ])("fits one batch: %s", async (_name, spec, loss, targetShape) => {
    using network = await PlacedNetwork.build(spec, { seed: 5 });
    using trainer = await Trainer.create(network, { loss });
    using input = filled("input", shape);
    using target =
      loss.kind === "cross-entropy"
        ? Tensor.from(BigInt64Array.of(0n, 1n), [2])
        : loss.kind === "l1"
          ? filled("target", targetShape)
          : mask("target", targetShape);
    const first = (await trainer.step(input, target, { learningRate: 1e-2, seed: 0 })).loss;
    let last = first;
    for (let seed = 1; seed < 40; seed++) {
      last = (await trainer.step(input, target, { learningRate: 1e-2, seed })).loss;
    }
    expect(last).toBeLessThan(0.8 * first);
  });

  it("keeps memory level over 1,000 steps", async () => {
    using network = await PlacedNetwork.build({
      model: { family: "unet-3d", channels: 1, outputs: 1, features: 4, levels: 2 },
    });
    using trainer = await Trainer.create(network, { loss: { kind: "l1" } });
    const run = async (from: number, to: number) => {
      for (let seed = from; seed < to; seed++) {
        using input = filled(`input${seed}`, [2, 1, 8, 8, 8]);
        using target = filled(`target${seed}`, [2, 1, 8, 8, 8]);
        await trainer.step(input, target, { learningRate: 1e-4, seed });
      }
      return process.memoryUsage.rss();
    };
    const settled = await run(0, 200);
    const end = await run(200, 1000);
    expect(Tensor.live).toBe(0);
    expect((end - settled) / 2 ** 20).toBeLessThan(40); // a leak of the activations of one step would be 800 x 0.3 MiB
  });
});

describe("the masked autoencoder", () => {
  const spec: NetworkSpec = { encoder, head: { kind: "masked-autoencoder", decoderDim: 8, decoderDepth: 1 } };
  const loss: LossSpec = { kind: "masked-autoencoder", normaliseTargets: false };

  it("predicts masked voxels from visible ones alone", async () => {
    // Adding c to a masked patch changes only its target, so that its mean squared error is a parabola in c with
    // curvature 2 exactly; any path from masked voxels to the prediction would bend it.
    using network = await PlacedNetwork.build(spec, { seed: 2 });
    await livelyNetwork(network);
    using trainer = await Trainer.create(network, { loss });
    using masked = Tensor.from(Uint8Array.of(0, 1, 0, 0), [1, 4]); // 32 x 32 x 16 voxels: 1 x 2 x 2 patches (D, H, W)
    const lossAt = async (change: number) => {
      const values = Float32Array.from(hashFill("volume", 2 * 16 * 32 * 32));
      for (let index = 0; index < values.length; index++) {
        const [row, column] = [Math.floor(index / 32) % 32, index % 32];
        if (row < 16 && column >= 16) values[index] += change;
      }
      using input = Tensor.from(values, [1, 2, 16, 32, 32]);
      return (await trainer.step(input, masked, { learningRate: 0, seed: 1 })).loss;
    };
    const [minus, zero, plus] = [await lossAt(-2), await lossAt(0), await lossAt(2)];
    expect(plus + minus - 2 * zero).toBeCloseTo(2 * 2 ** 2, 4);
  });

  it("does see visible voxels", async () => {
    using network = await PlacedNetwork.build(spec, { seed: 2 });
    await livelyNetwork(network);
    using trainer = await Trainer.create(network, { loss });
    using masked = Tensor.from(Uint8Array.of(0, 1, 0, 0), [1, 4]);
    const lossWith = async (name: string) => {
      const values = Float32Array.from(hashFill("volume", 2 * 16 * 32 * 32));
      const other = hashFill(name, values.length);
      for (let index = 0; index < values.length; index++) {
        const [row, column] = [Math.floor(index / 32) % 32, index % 32];
        if (!(row < 16 && column >= 16)) values[index] = other[index];
      }
      using input = Tensor.from(values, [1, 2, 16, 32, 32]);
      return (await trainer.step(input, masked, { learningRate: 0, seed: 1 })).loss;
    };
    expect(Math.abs((await lossWith("one")) - (await lossWith("two")))).toBeGreaterThan(1e-4);
  });

  it.each([true, false])(
    "has the gradient that finite differences give (targets normalised: %s)",
    async (normalise) => {
      // With a decoder of one channel the mask token is a single number, and the gradient's norm its size.
      const thin: NetworkSpec = { encoder, head: { kind: "masked-autoencoder", decoderDim: 1 } };
      using network = await PlacedNetwork.build(thin, { seed: 2 });
      await livelyNetwork(network);
      using trainer = await Trainer.create(network, {
        loss: { kind: "masked-autoencoder", normaliseTargets: normalise },
        trainable: ["mask_token"],
      });
      using input = filled("volume", [1, 2, 16, 32, 32]);
      using masked = Tensor.from(Uint8Array.of(1, 0, 1, 0), [1, 4]);
      const lossAt = async (token: number) => {
        await assign(network, "mask_token", Float32Array.of(token), [1, 1, 1, 1, 1]);
        return trainer.step(input, masked, { learningRate: 0, seed: 1 });
      };
      const slope = ((await lossAt(0.7 + 0.05)).loss - (await lossAt(0.7 - 0.05)).loss) / 0.1;
      const { gradientNorm } = await lossAt(0.7);
      expect(gradientNorm).toBeGreaterThan(0.01);
      expect(Math.abs(Math.abs(slope) - gradientNorm) / gradientNorm).toBeLessThan(1e-2);
    },
  );

  it("lowers its loss, and pads a volume that is no multiple of the patch", async () => {
    using network = await PlacedNetwork.build(spec, { seed: 2 });
    using trainer = await Trainer.create(network, { loss: { kind: "masked-autoencoder" } });
    const values = Float32Array.from({ length: 2 * 24 * 32 * 32 }, (_, index) => Math.sin(index / 50));
    using input = Tensor.from(values, [1, 2, 24, 32, 32]);
    using masked = Tensor.from(Uint8Array.of(1, 0, 1, 0, 1, 1, 0, 1), [1, 8]); // depth 24 becomes 32: 2 x 2 x 2 patches
    const losses = [];
    for (let seed = 0; seed < 40; seed++) {
      losses.push((await trainer.step(input, masked, { learningRate: 3e-3, seed })).loss);
    }
    expect(losses[39]).toBeLessThan(0.7 * losses[0]);
  });

  /** Gives GRN, which starts as the identity, and all kernels values with which every path matters. */
  async function livelyNetwork(network: PlacedNetwork): Promise<void> {
    for (const { name, shape } of network.parameters) {
      const count = shape.reduce((a, b) => a * b, 1);
      const scale = shape.length > 1 && !name.includes("grn") ? Math.sqrt(3 / (count / shape[0])) : 0.3;
      const offset = name.endsWith("weight") && shape.length === 1 ? 1 : 0;
      await assign(
        network,
        name,
        new Float32Array(hashFill(name, count).map((u) => offset + scale * u)),
        shape,
      );
    }
  }
});
