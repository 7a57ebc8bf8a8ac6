import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCase } from "../dist/cohort/case-volumes.js";
import { randomStream } from "../dist/common/random.js";
import { loadEncoder } from "../dist/models/checkpoints/load-weights.js";
import { Network } from "../dist/models/network.js";
import { headParameters, parameterCount } from "../dist/models/parameters.js";
import { drawMask, maskedBatch, patchGrid } from "../dist/models/pretraining/masked-autoencoder.js";
import { setThreads } from "../dist/native/runtime.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { Trainer } from "../dist/native/trainer.js";
import { shared, sharedMissing } from "./shared.js";

const small = { family: "convnext-v2-3d", channels: 3, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] } as const;
const encoder = structuredClone(small) as never;

let folder: string;
beforeAll(async () => {
  setThreads(1); // the networks here are too small to share
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-models-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const stateOf = async (network: Network): Promise<Map<string, number[]>> => {
  const state = await network.state();
  const copy = new Map<string, number[]>();
  for (const [name, tensor] of Object.entries(state)) {
    copy.set(name, [...((await tensor.toArray()) as Float32Array)].map(Number));
    tensor.dispose();
  }
  return copy;
};

describe("Network.create", () => {
  it.skipIf(sharedMissing)(
    "builds the published encoder (needs the shared folder beside the checkout)",
    async () => {
      const golden = JSON.parse(await readFile(shared("parity", "profound_encoder.json"), "utf8"));
      using network = await Network.create({ encoder: "profound-tiny" });
      const own = Object.fromEntries(network.parameters.map(({ name, shape }) => [name, shape]));
      expect(own).toEqual(golden.parameters);
    },
  );

  it("embeds with an encoder alone and answers with a head, at the input's size", async () => {
    using x = Tensor.from(new Float32Array(3 * 8 * 16 * 16), [1, 3, 8, 16, 16]);
    using network = await Network.create({
      encoder: "profound-demo",
      head: { kind: "unetr", outputs: 2, featureSize: 4 },
    });
    using answer = await network.forward(x);
    expect(answer.shape).toEqual([1, 2, 8, 16, 16]);
    const { pooled, stages } = await network.embed(x);
    expect(pooled.shape).toEqual([1, 128]);
    for (const tensor of [pooled, ...stages]) tensor.dispose();
  });

  it("answers with intensities by a softmax over bins where asked", async () => {
    const head = { kind: "unetr", outputs: 1, featureSize: 4 } as const;
    const bins = { bins: 5, low: -1, high: 2 };
    using network = await Network.create({ encoder, head, output: bins, seed: 3 });
    using plain = await Network.create({ encoder, head: { ...head, outputs: 5 }, seed: 3 });
    using x = Tensor.from(
      Float32Array.from({ length: 3 * 8 * 16 * 16 }, (_, index) => Math.sin(index)),
      [1, 3, 8, 16, 16],
    );
    using answer = await network.forward(x);
    using logits = await plain.forward(x); // the same network, its bins shown
    expect(answer.shape).toEqual([1, 1, 8, 16, 16]);
    const [intensities, scores] = [await answer.toArray(), await logits.toArray()];
    const voxels = intensities.length;
    for (let voxel = 0; voxel < voxels; voxel += 97) {
      const powers = [0, 1, 2, 3, 4].map((bin) => Math.exp(Number(scores[bin * voxels + voxel])));
      const total = powers.reduce((sum, power) => sum + power, 0);
      const expectation = powers.reduce((sum, power, bin) => sum + (power / total) * (-0.7 + 0.6 * bin), 0);
      expect(Number(intensities[voxel])).toBeCloseTo(expectation, 5);
    }
  });

  it("draws the same encoder from the same seed, whatever head stands on it", async () => {
    const states: Map<string, number[]>[] = [];
    for (const head of [
      { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 4 },
      { kind: "subpixel", outputs: 1, featureSize: 4 },
    ] as const) {
      using network = await Network.create({ encoder, head, seed: 5 });
      states.push(await stateOf(network));
    }
    const names = [...states[0].keys()].filter((name) => name.startsWith("encoder."));
    expect(names.length).toBeGreaterThan(40);
    for (const name of names) expect(states[1].get(name)).toEqual(states[0].get(name));
    using other = await Network.create({
      encoder,
      head: { kind: "subpixel", outputs: 1, featureSize: 4 },
      seed: 6,
    });
    const weight = "encoder.downsample_layers.0.0.weight";
    expect((await stateOf(other)).get(weight)).not.toEqual(states[0].get(weight));
  });

  it.each([
    [{ encoder: "profound-tinny" }, /encoder: .*Did you mean "profound-tiny"\?/],
    [{ encoder: { ...small, dims: [1, 2, 3] } }, /encoder\.dims/],
    [{ encoder: { ...small, depth: 3 } }, /unknown key "depth". Did you mean "depths"\?/],
    [{ encoder, head: { kind: "upernet" } }, /head\.outputs: expected .* but received nothing/],
    [{ encoder, seed: -1 }, /seed/],
    [{ encoder, output: { bins: 4, low: 0, high: 1 } }, /a head.*output/],
    [
      { encoder, head: { kind: "conv1", outputs: 1 }, output: { bins: 4, low: 1, high: 0 } },
      /output\.high: expected a number above low/,
    ],
    [{ encoder, head: { kind: "unetr", outputs: 2 }, output: { bins: 4, low: 0, high: 1 } }, /1 for outputs/],
  ])("refuses %o, saying why", async (options, message) => {
    await expect(Network.create(options as never)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(message),
    });
  });
});

describe("weights of an encoder", () => {
  const head = { kind: "unetr", outputs: 1, featureSize: 4 } as const;

  it.each(["", "encoder."])("load where names begin with '%s', and leave the head alone", async (prefix) => {
    using source = await Network.create({ encoder, seed: 1 });
    const state = await source.state();
    const path = join(folder, `weights-${prefix}.safetensors`);
    await writeSafetensors(
      path,
      Object.fromEntries(Object.entries(state).map(([name, tensor]) => [prefix + name, tensor])),
    );
    for (const tensor of Object.values(state)) tensor.dispose();

    using target = await Network.create({ encoder, head, seed: 2 });
    const before = await stateOf(target);
    await loadEncoder(target, path);
    const after = await stateOf(target);
    const wanted = await stateOf(source);
    for (const [name, value] of wanted) expect(after.get(`encoder.${name}`)).toEqual(value);
    for (const name of headParameters(target)) expect(after.get(name)).toEqual(before.get(name));
    expect(headParameters(target).length).toBeGreaterThan(5);
  });

  it("are refused where they cover too little", async () => {
    using source = await Network.create({ encoder, seed: 1 });
    const state = await source.state();
    const path = join(folder, "part.safetensors");
    const some = Object.fromEntries(Object.entries(state).filter(([name]) => !name.startsWith("stages.3")));
    await writeSafetensors(path, some);
    for (const tensor of Object.values(state)) tensor.dispose();
    using target = await Network.create({ encoder, head, seed: 2 });
    await expect(loadEncoder(target, path)).rejects.toMatchObject({
      code: "BAD_CHECKPOINT",
      message: expect.stringMatching(/at least 95 %.*encoder\.stages\.3/),
    });
  });
});

describe("masked-autoencoder pretraining", () => {
  it("hides the asked share of the patches, other ones for every stream, and never all", () => {
    const mask = drawMask(50, 0.6, randomStream(1, "mask", 1));
    expect(mask.reduce((sum, hidden) => sum + hidden, 0)).toBe(30);
    expect(drawMask(50, 0.6, randomStream(1, "mask", 1))).toEqual(mask);
    expect(drawMask(50, 0.6, randomStream(1, "mask", 2))).not.toEqual(mask);
    expect(drawMask(2, 0.99, randomStream(1, "x")).reduce((sum, hidden) => sum + hidden, 0)).toBe(1);
    expect(drawMask(1, 0.1, randomStream(1, "x"))).toEqual(new Uint8Array([1]));
    expect(patchGrid([24, 64, 65], 16)).toEqual([2, 4, 5]);
  });

  it("shows T2W, ADC and high-b, and learns to predict what is hidden", async () => {
    const shape = [16, 32, 32];
    const count = 16 * 32 * 32;
    const wave = (phase: number) =>
      Float32Array.from({ length: count }, (_, i) => Math.sin(i * 0.05 + phase));
    const t2w = wave(0);
    const hbv = wave(2);
    const path = join(folder, "case.safetensors");
    using a = Tensor.from(t2w, shape);
    using b = Tensor.from(hbv, shape);
    await writeSafetensors(path, { t2w: a, hbv: b });
    const volumes = await openCase(
      { id: "one", patient: "one", labels: {}, file: path, volumes: ["t2w", "hbv"], spacing: [1, 1, 1] },
      "cpu",
    );
    const options = { channels: 3, patch: 16, maskRatio: 0.5, device: "cpu" };
    const batch = () =>
      maskedBatch([volumes, volumes], [randomStream(1, "a"), randomStream(1, "b")], options);
    const { input, target } = await batch();
    expect(input.shape).toEqual([2, 3, ...shape]);
    expect(target.shape).toEqual([2, 4]);
    expect(target.dtype).toBe("uint8");
    // ADC is missing: T2W stands in its place.
    expect(((await input.toArray()) as Float32Array).slice(0, 3 * count)).toEqual(
      Float32Array.from([...t2w, ...t2w, ...hbv]),
    );

    using network = await Network.create({
      encoder,
      head: { kind: "masked-autoencoder", decoderDim: 16, decoderDepth: 1 },
      seed: 1,
    });
    using trainer = await Trainer.create(network, {
      loss: { kind: "masked-autoencoder", normaliseTargets: true },
    });
    const losses: number[] = [];
    for (let step = 0; step < 60; step++) {
      losses.push((await trainer.step(input, target, { learningRate: 3e-3, seed: step })).loss);
    }
    input.dispose();
    target.dispose();
    // Normalised targets have unit variance: predicting nothing costs 1.
    expect(losses[0]).toBeGreaterThan(0.9);
    expect(losses.at(-1)).toBeLessThan(0.5);
    expect(parameterCount(network)).toBeGreaterThan(1000);
  });
});
