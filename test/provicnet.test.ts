import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { loadEncoder } from "../dist/models/checkpoints/load-weights.js";
import { Network } from "../dist/models/network.js";
import { headParameters } from "../dist/models/parameters.js";
import type { HeadSpec } from "../dist/native/network-spec.js";
import { Tensor } from "../dist/native/tensor.js";
import { Trainer } from "../dist/native/trainer.js";
import { hashFill } from "./hash-fill.js";
import { expectSample, fillParameters, parity, parityInput, relativeError } from "./parity-inputs.js";
import { sharedMissing } from "./shared.js";

const small = {
  family: "dino-vit",
  channels: 3,
  patch: 4,
  embedDim: 24,
  depth: 2,
  heads: 3,
  registers: 2,
  axisTokens: 2,
} as const;

const values = async (tensor: Tensor): Promise<number[]> => [...((await tensor.toArray()) as Float32Array)];

const filled = (name: string, shape: number[]): Tensor =>
  Tensor.from(
    Float32Array.from(
      hashFill(
        name,
        shape.reduce((a, b) => a * b, 1),
      ),
    ),
    shape,
  );

/** A network whose parameters are the values of the parity files, so that no term of it is zero. */
async function networkOf(head?: HeadSpec, encoder: object = small): Promise<Network> {
  const network = await Network.create({ encoder: encoder as typeof small, ...(head && { head }) });
  await fillParameters(network);
  return network;
}

async function embedSlices(network: Network, slices: Tensor, rows: number[][]) {
  using position = Tensor.from(Float32Array.from(rows.flat()), [rows.length, 2]);
  const { pooled, stages, tokens } = await network.embed(slices, { position });
  const parts = { pooled, ...tokens };
  try {
    expect(stages).toEqual([]);
    return {
      shapes: Object.fromEntries(Object.entries(parts).map(([name, tensor]) => [name, tensor.shape])),
      pooled: await values(pooled),
      patches: await values(tokens.patches),
    };
  } finally {
    for (const tensor of Object.values(parts)) tensor.dispose();
  }
}

async function embedVolume(network: Network, volume: Tensor): Promise<number[]> {
  using features = await network.embed(volume);
  const [patches] = features.stages as [Tensor];
  expect(patches.shape.slice(0, 2)).toEqual([volume.shape[0], volume.shape[2]]);
  return values(features.pooled);
}

afterEach(() => expect(Tensor.live).toBe(0));

describe.skipIf(sharedMissing)(
  "ProViCNet answers as the published code (needs the shared folder beside the checkout)",
  () => {
    it("has the published parameters in order; tokens, logits and the contrastive head agree", async () => {
      const golden = parity("provicnet.json");
      using network = await Network.create({
        encoder: "provicnet-small",
        head: { kind: "contrastive", outputs: 4 },
      });
      expect(network.parameters.map(({ name, shape }) => [name, shape])).toEqual(
        Object.entries(golden.parameters),
      );
      await fillParameters(network);
      for (const { input, position, cls, patchTokens, axisTokens, logits, contrastiveHead } of golden.cases) {
        using x = parityInput(input);
        using where = Tensor.from(Float32Array.from(position.flat()), [position.length, 2]);
        const features = await network.embed(x, { position: where });
        using pooled = features.pooled;
        const { tokens } = features;
        try {
          expect(relativeError(await values(tokens.cls), cls.flat())).toBeLessThan(1e-4);
          await expectSample(tokens.patches, patchTokens);
          await expectSample(tokens.axis, axisTokens);
          const [count, dim] = tokens.patches.shape.slice(1);
          const patches = await values(tokens.patches);
          const means = position.flatMap((_: unknown, slice: number) =>
            Array.from({ length: dim }, (_, feature) => {
              let sum = 0;
              for (let patch = 0; patch < count; patch++)
                sum += patches[(slice * count + patch) * dim + feature];
              return sum / count;
            }),
          );
          expect(relativeError(await values(pooled), means)).toBeLessThan(1e-5);
          // The file does not name the row that its contrastive head was given. Of all tokens it is this one alone
          // that answers so: the others differ by more than half.
          const row = 100;
          using patch = Tensor.from(Float32Array.from(patches.slice(row * dim, (row + 1) * dim)), [1, dim]);
          using projected = await network.project(patch);
          await expectSample(projected, contrastiveHead);
        } finally {
          for (const tensor of Object.values(tokens)) tensor.dispose();
        }
        using answer = await network.forward(x, { position: where });
        await expectSample(answer, logits);
      }
    });
  },
);

describe("a vision transformer over slices", () => {
  const rows = [
    [3, 20],
    [11, 20],
  ];

  it("answers with pooled features and tokens of the documented shapes", async () => {
    using network = await networkOf();
    using slices = filled("slices", [2, 3, 8, 12]);
    const { shapes } = await embedSlices(network, slices, rows);
    expect(shapes).toEqual({ pooled: [2, 24], cls: [2, 24], patches: [2, 6, 24], axis: [2, 2, 24] });
  });

  it("hears both numbers of the position, and each slice only its own", async () => {
    using network = await networkOf();
    using slices = filled("slices", [2, 3, 8, 8]);
    const { pooled } = await embedSlices(network, slices, rows);
    for (const other of [
      [5, 20],
      [3, 24],
    ]) {
      const moved = (await embedSlices(network, slices, [other, rows[1]])).pooled;
      expect(relativeError(moved.slice(0, 24), pooled.slice(0, 24))).toBeGreaterThan(1e-4);
      expect(relativeError(moved.slice(24), pooled.slice(24))).toBeLessThan(1e-6);
    }
  });

  it("without axis tokens has no position, neither in its parameters nor in its answer", async () => {
    using network = await networkOf(undefined, { ...small, axisTokens: 0 });
    expect(network.parameters.filter(({ name }) => name.startsWith("axis"))).toEqual([]);
    using slices = filled("slices", [1, 3, 8, 8]);
    const { pooled, tokens } = await network.embed(slices, {});
    expect(tokens.axis.shape).toEqual([1, 0, 24]);
    for (const tensor of [pooled, ...Object.values(tokens)]) tensor.dispose();
  });

  // 18 slices a volume: more than go through the network at once.
  const volumeShape = [2, 1, 18, 8, 12];
  const [cases, , depth, height, width] = volumeShape as [number, number, number, number, number];

  /** Every slice of that volume with its two neighbours as channels, and where it lies. */
  async function byHand(volume: Tensor) {
    const voxels = (await volume.toArray()) as Float32Array;
    const plane = height * width;
    const slices = new Float32Array(cases * depth * 3 * plane);
    const position: number[][] = [];
    for (let index = 0; index < cases; index++) {
      for (let slice = 0; slice < depth; slice++) {
        for (const channel of [0, 1, 2]) {
          const source = index * depth + Math.min(depth - 1, Math.max(0, slice + channel - 1));
          slices.set(
            voxels.subarray(source * plane, (source + 1) * plane),
            ((index * depth + slice) * 3 + channel) * plane,
          );
        }
        position.push([slice, depth]);
      }
    }
    return { slices: Tensor.from(slices, [cases * depth, 3, height, width]), position };
  }

  it("embeds a volume as the mean over its slices, each with its neighbours and its position", async () => {
    using network = await networkOf();
    using volume = filled("volume", volumeShape);
    const hand = await byHand(volume);
    using slices = hand.slices;
    const { pooled } = await embedSlices(network, slices, hand.position);
    const means = Array.from({ length: cases * 24 }, (_, at) => {
      const [index, feature] = [Math.floor(at / 24), at % 24];
      let sum = 0;
      for (let slice = 0; slice < depth; slice++)
        sum += pooled[(index * depth + slice) * 24 + feature] as number;
      return sum / depth;
    });
    expect(relativeError(await embedVolume(network, volume), means)).toBeLessThan(1e-5);
  });

  it("answers to a volume slice by slice, stacked along the depth", async () => {
    using network = await networkOf({ kind: "conv1", outputs: 2 });
    // A patch of 8, which the head's three upsamplings by 2 undo: nothing is resized.
    using same = await networkOf({ kind: "conv1", outputs: 2 }, { ...small, patch: 8 });
    using wide = filled("volume", [cases, 1, depth, 8, 8]);
    using dense = await same.forward(wide);
    expect(dense.shape).toEqual([cases, 2, depth, 8, 8]);
    const answer = await values(dense);
    const voxels = await values(wide);
    for (const slice of [0, 7, depth - 1]) {
      const channels = [slice - 1, slice, slice + 1].map((at) => Math.min(depth - 1, Math.max(0, at)));
      using x = Tensor.from(
        Float32Array.from(channels.flatMap((at) => voxels.slice((depth + at) * 64, (depth + at + 1) * 64))),
        [1, 3, 8, 8],
      );
      using position = Tensor.from(new Float32Array([slice, depth]), [1, 2]);
      using logits = await same.forward(x, { position });
      const own = [0, 1].flatMap((output) => {
        const start = ((2 + output) * depth + slice) * 64;
        return answer.slice(start, start + 64);
      });
      expect(relativeError(own, await values(logits))).toBeLessThan(1e-5);
    }
    // Sizes that are no multiple of the patch: the answer still has the input's.
    using odd = filled("odd", [1, 1, 3, 9, 7]);
    using resized = await network.forward(odd);
    expect(resized.shape).toEqual([1, 2, 3, 9, 7]);
  });

  it("takes the images of a volume in turn, each with its adjacent slices", async () => {
    using network = await networkOf(undefined, { ...small, channels: 6 });
    using volume = filled("volume", [1, 2, 1, 8, 8]);
    const voxels = await values(volume);
    const [first, second] = [voxels.slice(0, 64), voxels.slice(64)];
    using slices = Tensor.from(
      Float32Array.from([first, first, first, second, second, second].flat()),
      [1, 6, 8, 8],
    );
    const { pooled } = await embedSlices(network, slices, [[0, 1]]);
    expect(relativeError(await embedVolume(network, volume), pooled)).toBeLessThan(1e-6);
  });

  it("has a contrastive head whose answer is a cosine, whatever the length of the prototypes", async () => {
    const head = { kind: "contrastive", outputs: 2, hidden: 16, bottleneck: 8, prototypes: 5 } as const;
    using network = await Network.create({ encoder: small, head });
    using features = filled("features", [7, 24]);
    using answer = await network.project(features);
    expect(answer.shape).toEqual([7, 5]);
    const cosines = await values(answer);
    expect(Math.max(...cosines.map(Math.abs))).toBeLessThanOrEqual(1 + 1e-6);
    const name = "CL_Head.last_layer.weight_v";
    using longer = Tensor.from(new Float32Array(hashFill("other", 40).map((value) => 1000 * value)), [5, 8]);
    using shorter = Tensor.from(Float32Array.from(hashFill("other", 40)), [5, 8]);
    await network.assign({ [name]: longer });
    using one = await network.project(features);
    await network.assign({ [name]: shorter });
    using two = await network.project(features);
    expect(relativeError(await values(one), await values(two))).toBeLessThan(1e-5);
    expect(relativeError(await values(one), cosines)).toBeGreaterThan(0.1);
  });

  it("learns a dense answer from volumes, and with its encoder frozen still learns by the head alone", async () => {
    using input = filled("volume", [1, 1, 4, 16, 16]);
    const voxels = await values(input);
    using target = Tensor.from(
      Float32Array.from(voxels, (value) => (value > 0.2 ? 1 : 0)),
      [1, 1, 4, 16, 16],
    );
    const losses = async (only: "everything" | "head") => {
      using network = await Network.create({ encoder: small, head: { kind: "conv1", outputs: 1 }, seed: 3 });
      const head = headParameters(network);
      expect(head.every((name) => name.startsWith("head.segmentation_conv."))).toBe(true);
      expect(head).toHaveLength(10);
      using trainer = await Trainer.create(network, {
        loss: { kind: "l1" },
        ...(only === "head" ? { trainable: head } : {}),
      });
      const name = "backbone.blocks.0.attn.qkv.weight";
      const weight = async () => {
        const state = await network.state();
        const copy = await values(state[name] as Tensor);
        for (const tensor of Object.values(state)) tensor.dispose();
        return copy;
      };
      const before = await weight();
      const all: number[] = [];
      for (let step = 0; step < 40; step++)
        all.push((await trainer.step(input, target, { learningRate: 3e-3, seed: step })).loss);
      expect(relativeError(await weight(), before) > 0).toBe(only === "everything");
      return all as [number, ...number[]];
    };
    for (const only of ["everything", "head"] as const) {
      const all = await losses(only);
      expect(all.at(-1)).toBeLessThan(0.8 * all[0]);
    }
  });

  it("gives its weights to the same encoder under a head, and leaves the head alone", async () => {
    const folder = await mkdtemp(join(tmpdir(), "transfer-limits-vit-"));
    try {
      const path = join(folder, "encoder.safetensors");
      using source = await Network.create({ encoder: small, seed: 1 });
      await source.save(path);
      using target = await Network.create({
        encoder: small,
        head: { kind: "conv1", outputs: 2 },
        seed: 2,
      });
      const names = headParameters(target);
      const headOf = async () => {
        const state = await target.state();
        const copies = await Promise.all(names.map((name) => values(state[name] as Tensor)));
        for (const tensor of Object.values(state)) tensor.dispose();
        return copies;
      };
      const before = await headOf();
      await loadEncoder(target, path);
      expect(await headOf()).toEqual(before);
      using volume = filled("volume", [1, 1, 3, 8, 8]);
      expect(await embedVolume(target, volume)).toEqual(await embedVolume(source, volume));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("draws the same encoder from a seed, whatever head stands on it", async () => {
    using volume = filled("volume", [1, 1, 3, 8, 8]);
    const answers: number[][] = [];
    for (const head of [
      undefined,
      { kind: "conv1", outputs: 2 },
      { kind: "contrastive", outputs: 3, hidden: 8, bottleneck: 4, prototypes: 4 },
    ] as const) {
      using network = await Network.create({ encoder: small, ...(head && { head }), seed: 5 });
      answers.push(await embedVolume(network, volume));
    }
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
  });

  it.each([
    ["slices of another number of channels", [1, 2, 8, 8], [1, 2], /slices \[N, 3, H, W\].*\[1, 2, 8, 8\]/],
    ["a size that is no multiple of the patch", [1, 3, 8, 10], [1, 2], /multiples of the patch of 4.*8 x 10/],
    [
      "a position of another number of rows",
      [2, 3, 8, 8],
      [1, 2],
      /position \[2, 2\].*one row a slice.*\[1, 2\]/,
    ],
    ["a position of other columns", [1, 3, 8, 8], [1, 3], /position \[1, 2\].*\[1, 3\]/],
    ["no position", [1, 3, 8, 8], null, /position \[1, 2\].*received none/],
    ["a volume with a position", [1, 3, 8, 8, 8], [1, 2], /slices \[N, C, H, W\]/],
    ["fewer axes", [3, 8, 8], [1, 2], /slices \[N, C, H, W\]/],
  ])("refuses %s", async (_what, shape, where, message) => {
    using network = await Network.create({ encoder: small, head: { kind: "conv1", outputs: 1 } });
    using input = filled("bad", shape);
    using position = where === null ? null : filled("position", where);
    const options = position === null ? {} : { position };
    const wrong = { code: "BAD_INPUT", message: expect.stringMatching(message) };
    await expect(network.embed(input, options)).rejects.toMatchObject(wrong);
    await expect(network.forward(input, options)).rejects.toMatchObject(wrong);
  });

  it("refuses volumes whose channels don't fit, features without a contrastive head, and slices where volumes go", async () => {
    using network = await Network.create({ encoder: small });
    using two = filled("two", [1, 2, 4, 8, 8]);
    await expect(network.embed(two)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(
        /channels C divide the encoder's 3 into an odd number of adjacent slices/,
      ),
    });
    using features = filled("features", [2, 24]);
    await expect(network.project(features)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/head contrastive/),
    });
    using slices = filled("slices", [1, 3, 8, 8]);
    await expect(network.embed(slices)).rejects.toMatchObject({ code: "BAD_INPUT" });
    using volumes = await Network.create({ encoder: "profound-demo" });
    await expect(volumes.embed(slices, {})).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/\[N, C, D, H, W\]/),
    });
  });

  const convNeXt = { family: "convnext-v2-3d", channels: 3, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] };
  it.each([
    [small, { kind: "upernet", outputs: 1 }, /conv1 or contrastive for an encoder that goes slice by slice/],
    [convNeXt, { kind: "conv1", outputs: 1 }, /for an encoder of volumes but received conv1 or contrastive/],
    [{ ...small, heads: 5 }, undefined, /heads that divide the encoder's embedDim of 24 but received 5/],
    [{ ...small, axisTokens: 1 }, undefined, /encoder\.axisTokens/],
    [{ ...small, patches: 4 }, undefined, /unknown key "patches". Did you mean "patch"\?/],
  ])("refuses the encoder %o under %o", async (encoder, head, message) => {
    await expect(Network.create({ encoder, ...(head && { head }) } as never)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(message),
    });
  });
});
