import { createHash } from "node:crypto";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Network } from "../dist/models/network.js";
import type { HeadSpec, TorchScriptSpec } from "../dist/native/network-spec.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { Trainer } from "../dist/native/trainer.js";
import { hashFill } from "./hash-fill.js";
import { type ParityInput, parityInput } from "./parity-inputs.js";
import { moduleFile, modules, pyramidStages, scriptEncoder } from "./torchscript-fixture.js";

beforeAll(() => setThreads(1));
afterEach(() => expect(Tensor.live).toBe(0));

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const filled = (name: string, shape: number[]): Tensor =>
  Tensor.from(Float32Array.from(hashFill(name, product(shape))), shape);

/** The largest difference between numbers. */
const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, index) => Math.abs(value - (b[index] as number))));

async function pooledOf(network: Network, volume: Tensor): Promise<number[]> {
  using features = await network.embed(volume);
  return Array.from((await features.pooled.toArray()) as Float32Array);
}

async function valuesOf(network: Network, name: string): Promise<number[]> {
  const state = await network.state([name]);
  const values = Array.from((await (state[name] as Tensor).toArray()) as Float32Array);
  for (const tensor of Object.values(state)) tensor.dispose();
  return values;
}

const pyramid = (): TorchScriptSpec => scriptEncoder("pyramid", { features: 10, stages: pyramidStages });
const sliced = (): TorchScriptSpec => scriptEncoder("slices", { channels: 3, input: "slices" });

describe("a TorchScript module as an encoder", () => {
  it.each([
    ["scripted", () => scriptEncoder("small-scripted"), "small-scripted"],
    ["traced", () => scriptEncoder("small-traced"), "small-scripted"],
    ["returning feature maps", pyramid, "pyramid"],
    ["of slices, over which its features are the mean", sliced, "slices"],
  ])("answers as PyTorch does: %s", async (_, encoder, name) => {
    using network = await Network.create({ encoder: encoder() });
    const { input, pooled } = modules[name] as { input: ParityInput; pooled: { values: number[] } };
    using volume = parityInput(input);
    expect(apart(await pooledOf(network, volume), pooled.values)).toBeLessThan(1e-5);
  });

  it("has the parameters and buffers of the file under their own names, below encoder. with a head", async () => {
    using alone = await Network.create({ encoder: scriptEncoder("small-traced") });
    const { names } = modules["small-scripted"] as { names: string[] };
    expect(alone.parameters.map(({ name }) => name).sort()).toEqual([...names].sort());
    using headed = await Network.create({
      encoder: scriptEncoder("small-traced"),
      head: { kind: "classifier", classes: 3, bottleneck: 4 },
    });
    const below = headed.parameters.filter(({ name }) => !name.startsWith("head."));
    expect(below.map(({ name }) => name).sort()).toEqual(names.map((name) => `encoder.${name}`).sort());
  });

  it("takes weights of bfloat16 as float32", async () => {
    using network = await Network.create({ encoder: scriptEncoder("small-bfloat16") });
    const floats = network.parameters.filter(({ name }) => !name.endsWith("num_batches_tracked"));
    expect(new Set(floats.map(({ dtype }) => dtype))).toEqual(new Set(["float32"]));
    const { input, pooled } = modules["small-scripted"] as {
      input: ParityInput;
      pooled: { values: number[] };
    };
    using volume = parityInput(input);
    // Weights were rounded to eight bits, no more.
    expect(apart(await pooledOf(network, volume), pooled.values)).toBeLessThan(0.02);
  });

  it("gives decoders its maps: those of stride 4, 8, 16 and 32 as they are", async () => {
    using network = await Network.create({ encoder: pyramid() });
    const { input, stride8 } = modules.pyramid as { input: ParityInput; stride8: { values: number[] } };
    using volume = parityInput(input);
    using features = await network.embed(volume);
    expect(features.stages.map(({ shape }) => shape)).toEqual([
      [2, 4, 16, 16, 8],
      [2, 6, 8, 8, 4],
      [2, 8, 4, 4, 2],
      [2, 10, 2, 2, 1],
    ]);
    const [, second] = features.stages;
    const values = (await (second as Tensor).toArray()) as Float32Array;
    // The record holds every fourth, fourth and second position.
    const every = Array.from({ length: 2 * 6 }, (_, map) =>
      [0, 4].flatMap((d) =>
        [0, 4].flatMap((h) => [0, 2].map((w) => values[map * 256 + d * 32 + h * 4 + w] as number)),
      ),
    ).flat();
    expect(apart(every, stride8.values)).toBeLessThan(1e-5);
  });

  const heads: [string, HeadSpec, number[]][] = [
    ["UperNet", { kind: "upernet", outputs: 2, hidden: 4, auxiliary: 4 }, [1, 2, 20, 33, 18]],
    ["UNETR", { kind: "unetr", outputs: 1, featureSize: 4 }, [1, 1, 20, 33, 18]],
    ["the subpixel head", { kind: "subpixel", outputs: 1, featureSize: 4 }, [1, 1, 40, 33, 18]],
  ];
  it.each(heads)("carries %s, on volumes whose axes no stride divides", async (_, head, shape) => {
    using network = await Network.create({ encoder: pyramid(), head });
    using volume = filled("odd", [1, 1, 20, 33, 18]);
    using answer = await network.forward(volume);
    expect(answer.shape).toEqual(shape);
  });

  it("without maps, carries a classifier alone and says why", async () => {
    const encoder = scriptEncoder("small-scripted");
    await expect(Network.create({ encoder, head: { kind: "unetr", outputs: 1 } })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/small-scripted\.pt.*declare them in encoder\.stages/),
    });
  });

  it.each([
    ["scripted", "small-scripted"],
    ["traced in evaluation", "small-traced"],
  ])("is trained with its batch norm, which follows the mode: %s", async (_, name) => {
    using network = await Network.create({
      encoder: scriptEncoder(name),
      head: { kind: "classifier", classes: 2, bottleneck: 4 },
    });
    using trainer = await Trainer.create(network, { loss: { kind: "cross-entropy" } });
    using volume = filled("learn", [4, 1, 8, 8, 8]);
    using target = Tensor.from(BigInt64Array.from([0n, 1n, 0n, 1n]), [4]);
    const before = await valuesOf(network, "encoder.conv1.weight");
    const mean = await valuesOf(network, "encoder.norm1.running_mean");
    const losses: number[] = [];
    for (let step = 0; step < 30; step++)
      losses.push(await trainer.step(volume, target, { learningRate: 0.01, seed: step }).then(lossOf));
    expect(losses.at(-1)).toBeLessThan((losses[0] as number) / 2);
    expect(apart(await valuesOf(network, "encoder.conv1.weight"), before)).toBeGreaterThan(1e-3);
    expect(apart(await valuesOf(network, "encoder.norm1.running_mean"), mean)).toBeGreaterThan(1e-3);
  });

  it("gives the same bits in every run, and from the second call on", async () => {
    const run = async () => {
      using network = await Network.create({
        encoder: scriptEncoder("small-traced"),
        head: { kind: "classifier", classes: 2 },
      });
      using trainer = await Trainer.create(network, { loss: { kind: "cross-entropy" } });
      using volume = filled("again", [2, 1, 8, 8, 8]);
      using target = Tensor.from(BigInt64Array.from([0n, 1n]), [2]);
      const losses: number[] = [];
      for (let step = 0; step < 4; step++)
        losses.push(await trainer.step(volume, target, { learningRate: 0, seed: 1 }).then(lossOf));
      return [losses, await pooledOf(network, volume)];
    };
    const [losses, pooled] = await run();
    expect(new Set(losses).size).toBe(1);
    expect(await run()).toEqual([losses, pooled]);
  });

  it("frozen, is left as it is while its head learns", async () => {
    using network = await Network.create({
      encoder: scriptEncoder("small-scripted"),
      head: { kind: "classifier", classes: 2, bottleneck: 4 },
    });
    using volume = filled("frozen", [2, 1, 8, 8, 8]);
    const before = await pooledOf(network, volume);
    using trainer = await Trainer.create(network, { loss: { kind: "cross-entropy" }, trainable: ["head."] });
    using target = Tensor.from(BigInt64Array.from([0n, 1n]), [2]);
    for (let step = 0; step < 3; step++)
      await trainer.step(volume, target, { learningRate: 0.1, seed: step }).then(lossOf);
    expect(await pooledOf(network, volume)).toEqual(before);
  });

  it("takes parts of batches, unless it trains batch norm", async () => {
    using normed = await Network.create({
      encoder: scriptEncoder("small-traced"),
      head: { kind: "classifier", classes: 2 },
    });
    await expect(
      Trainer.create(normed, { loss: { kind: "l1" }, trainable: ["encoder."], microBatch: 1 }),
    ).rejects.toMatchObject({ code: "BAD_INPUT", message: expect.stringContaining("encoder.norm1") });
    const step = async (microBatch?: number) => {
      using network = await Network.create({
        encoder: pyramid(),
        head: { kind: "unetr", outputs: 1, featureSize: 2 },
      });
      using trainer = await Trainer.create(network, {
        loss: { kind: "l1" },
        ...(microBatch ? { microBatch } : {}),
      });
      using volume = filled("parts", [2, 1, 32, 32, 32]);
      return await trainer.step(volume, volume, { learningRate: 1e-3, seed: 1 }).then(lossOf);
    };
    expect(await step(1)).toBeCloseTo(await step(), 5);
  });

  it("comes back from its own weights, which hold no word that would run the module", async () => {
    const folder = await mkdtemp(join(tmpdir(), "torchscript-"));
    try {
      const path = join(folder, "weights.safetensors");
      using network = await Network.create({
        encoder: scriptEncoder("small-scripted"),
        drawn: true,
        seed: 7,
      });
      using volume = filled("saved", [1, 1, 8, 8, 8]);
      const drawn = await pooledOf(network, volume);
      await network.save(path);
      expect((await readFile(path)).includes("small-scripted.pt")).toBe(false);
      using other = await Network.create({ encoder: scriptEncoder("small-scripted") });
      const { missing, unexpected } = await other.loadCheckpoint(path);
      expect({ missing, unexpected }).toEqual({ missing: [], unexpected: [] });
      expect(await pooledOf(other, volume)).toEqual(drawn);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("random weights of a TorchScript module", () => {
  it("are drawn by the rule of each known kind of module, and shuffled elsewhere", async () => {
    using network = await Network.create({ encoder: scriptEncoder("small-traced"), drawn: true, seed: 3 });
    const how = Object.fromEntries(
      network.parameters.flatMap(({ name, drawn }) => (drawn ? [[name, drawn]] : [])),
    );
    expect(how.scale).toBe("shuffled");
    expect(
      new Set(Object.entries(how).flatMap(([name, drawn]) => (name === "scale" ? [] : [drawn]))),
    ).toEqual(new Set(["by-rule"]));
    // PyTorch draws a convolution's weight and bias uniformly within one over the root of an output's inputs: 27 and 4 x 27.
    const bounds = { "conv1.weight": 27, "conv1.bias": 27, "conv2.weight": 108, "conv2.bias": 108 };
    for (const [name, inputs] of Object.entries(bounds)) {
      const values = await valuesOf(network, name);
      expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(inputs));
    }
    const weight = await valuesOf(network, "conv2.weight");
    const variance = weight.reduce((sum, value) => sum + value ** 2, 0) / weight.length;
    expect(variance * 108).toBeGreaterThan(0.28);
    expect(variance * 108).toBeLessThan(0.39); // a third, of a uniform distribution, and 864 values
    expect(await valuesOf(network, "norm1.weight")).toEqual([1, 1, 1, 1]);
    expect(await valuesOf(network, "norm1.running_var")).toEqual([1, 1, 1, 1]);
    expect(await valuesOf(network, "norm2.bias")).toEqual(Array(8).fill(0));
    using file = await Network.create({ encoder: scriptEncoder("small-traced") });
    const [shuffled, original] = [await valuesOf(network, "scale"), await valuesOf(file, "scale")];
    expect(shuffled).not.toEqual(original);
    expect([...shuffled].sort()).toEqual([...original].sort());
  });

  it("follow from the seed, and leave the head's as they are", async () => {
    const create = (drawn: boolean, seed: number) =>
      Network.create({
        encoder: scriptEncoder("small-scripted"),
        head: { kind: "classifier", classes: 2 },
        drawn,
        seed,
      });
    using one = await create(true, 1);
    using same = await create(true, 1);
    using other = await create(true, 2);
    using ofFile = await create(false, 1);
    const weight = (network: Network) => valuesOf(network, "encoder.conv1.weight");
    expect(await weight(one)).toEqual(await weight(same));
    expect(await weight(one)).not.toEqual(await weight(other));
    expect(await weight(one)).not.toEqual(await weight(ofFile));
    expect(await valuesOf(one, "head.0.weight")).toEqual(await valuesOf(ofFile, "head.0.weight"));
  });
});

describe("a TorchScript module that is not what was declared is refused with its file, and the process lives", () => {
  const failing: [string, () => TorchScriptSpec, string, RegExp][] = [
    ["returns NaN", () => scriptEncoder("not-a-number"), "NOT_FINITE", /not-a-number\.pt.*NaN/],
    [
      "returns a tuple",
      () => scriptEncoder("pair"),
      "BAD_CHECKPOINT",
      /pair\.pt.*one tensor \[N, 8\].*a tuple of 2.*encoder\.stages/,
    ],
    [
      "changes the batch size",
      () => scriptEncoder("one-sample"),
      "BAD_CHECKPOINT",
      /one-sample\.pt.*features of 2 samples.*\[1, 8\].*torch\.jit\.script/,
    ],
    [
      "throws",
      () => scriptEncoder("throws"),
      "BAD_CHECKPOINT",
      /throws\.pt.*\[2, 1, 8, 8, 8\].*this module was exported to fail/,
    ],
    [
      "takes other channels",
      () => scriptEncoder("small-scripted", { channels: 3 }),
      "BAD_CHECKPOINT",
      /small-scripted\.pt.*take 1 channels.*declares 3/,
    ],
    [
      "has other features",
      () => scriptEncoder("small-scripted", { features: 5 }),
      "BAD_CHECKPOINT",
      /small-scripted\.pt.*declared 5 features.*\[2, 8\].*Set encoder\.features to 8/,
    ],
    ["takes slices", () => sliced3d(), "BAD_CHECKPOINT", /slices\.pt.*encoder\.input volume/],
    [
      "returns a tensor where maps were declared",
      () =>
        scriptEncoder("small-scripted", {
          stages: [
            { channels: 4, stride: 4 },
            { channels: 8, stride: 8 },
          ],
        }),
      "BAD_CHECKPOINT",
      /small-scripted\.pt.*list or tuple of 2 feature maps.*a tensor/,
    ],
    [
      "returns maps of other strides",
      () => ({ ...pyramid(), stages: pyramidStages.map((stage) => ({ ...stage, stride: 4 })) }),
      "BAD_CHECKPOINT",
      /pyramid\.pt.*declared stride 4/,
    ],
    [
      "returns maps of other channels",
      () => ({
        ...pyramid(),
        stages: [...pyramidStages].map((stage, index) => (index === 1 ? { ...stage, channels: 5 } : stage)),
      }),
      "BAD_CHECKPOINT",
      /pyramid\.pt.*declared 5 channels/,
    ],
  ];
  const sliced3d = () => scriptEncoder("slices", { channels: 3 });

  it.each(failing)("%s", async (_, encoder, code, message) => {
    using network = await Network.create({ encoder: encoder() });
    using volume = filled("refused", [2, encoder().channels, 8, 8, 8]);
    await expect(network.embed(volume)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    // Whatever it was, the next one is answered.
    using sound = await Network.create({ encoder: scriptEncoder("small-scripted") });
    using good = filled("sound", [1, 1, 8, 8, 8]);
    expect(await pooledOf(sound, good)).toHaveLength(8);
  });

  it.each([
    [
      "no trust",
      { trust: undefined },
      /encoder\.trust: expected true.*small-scripted\.pt runs code.*received nothing/,
    ],
    [
      "trust: false",
      { trust: false },
      /encoder\.trust: expected true.*small-scripted\.pt runs code.*received false/,
    ],
    [
      "no hash",
      { sha256: undefined },
      /encoder\.sha256: expected the SHA-256 of .*small-scripted\.pt.*received nothing/,
    ],
    ["features that are not the last map's", { stages: [{ channels: 5, stride: 4 }] }, /encoder\.features/],
  ])("%s", async (_, changes, message) => {
    const encoder = { ...scriptEncoder("small-scripted"), ...changes } as TorchScriptSpec;
    await expect(Network.create({ encoder })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(message),
    });
  });

  it("another hash than the trusted one, both of which are said", async () => {
    const trusted = "0".repeat(64);
    const { sha256 } = scriptEncoder("small-scripted");
    await expect(
      Network.create({ encoder: scriptEncoder("small-scripted", { sha256: trusted }) }),
    ).rejects.toMatchObject({
      code: "BAD_CHECKPOINT",
      message: expect.stringMatching(`small-scripted\\.pt is not loaded.*${trusted}.*${sha256}`),
    });
  });

  it("no module at all, a damaged one, one that is missing, and one without parameters", async () => {
    const folder = await mkdtemp(join(tmpdir(), "torchscript-"));
    const trusting = async (path: string): Promise<TorchScriptSpec> => ({
      ...scriptEncoder("small-scripted"),
      file: path,
      sha256: createHash("sha256")
        .update(await readFile(path))
        .digest("hex"),
    });
    try {
      const text = join(folder, "text.pt");
      await writeFile(text, "no module");
      const cut = join(folder, "cut.pt");
      await writeFile(cut, (await readFile(moduleFile("small-scripted"))).subarray(0, 9000));
      const bytes = await readFile(moduleFile("small-scripted"));
      const broken = join(folder, "broken.pt");
      bytes.fill(0x28, 500, 3000);
      await writeFile(broken, bytes);
      for (const path of [text, cut, broken]) {
        await expect(Network.create({ encoder: await trusting(path) }), path).rejects.toMatchObject({
          code: "BAD_CHECKPOINT",
          message: expect.stringMatching(/expected a file that torch\.jit\.save wrote/),
        });
      }
      const copy = join(folder, "gone.pt");
      await copyFile(moduleFile("small-scripted"), copy);
      const gone = await trusting(copy);
      await rm(copy);
      await expect(Network.create({ encoder: gone })).rejects.toMatchObject({ code: "BAD_CHECKPOINT" });
      await expect(Network.create({ encoder: scriptEncoder("small-frozen") })).rejects.toMatchObject({
        code: "BAD_CHECKPOINT",
        message: expect.stringMatching(/small-frozen\.pt.*torch\.jit\.freeze/),
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

async function lossOf(result: unknown): Promise<number> {
  if (result instanceof Tensor) {
    using tensor = result;
    return ((await tensor.toArray()) as Float32Array)[0] as number;
  }
  return (result as { loss: number }).loss;
}
