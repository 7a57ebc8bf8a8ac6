import { beforeAll, describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { headParameters, lastBlocksAndNorms, layerwiseRates } from "../dist/models/parameters.js";
import type { NetworkSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { Trainer } from "../dist/native/trainer.js";

beforeAll(() => setThreads(1));

const convolutional: NetworkSpec = {
  encoder: { family: "convnext-v2-3d", channels: 1, depths: [1, 1, 2, 1], dims: [4, 4, 8, 8] },
  head: { kind: "upernet", outputs: 1, hidden: 4, auxiliary: 4 },
};
const residual: NetworkSpec = {
  encoder: { family: "resnet-3d", channels: 1, features: 4, blocks: [1, 1, 2, 1] },
  head: { kind: "upernet", outputs: 1, hidden: 4, auxiliary: 4 },
};
const transformer: NetworkSpec = {
  encoder: {
    family: "dino-vit",
    channels: 3,
    patch: 8,
    embedDim: 12,
    depth: 4,
    heads: 2,
    registers: 2,
    axisTokens: 2,
  },
  head: { kind: "conv1", outputs: 1 },
};

/** How far each parameter moves at most in one step. */
async function moves(
  network: PlacedNetwork,
  options: { trainable?: string[]; rates?: Record<string, number> },
) {
  const draw = randomStream(1, "input");
  using input = Tensor.from(
    Float32Array.from({ length: 2 * 16 ** 3 }, () => draw.normal()),
    [2, 1, 16, 16, 16],
  );
  using target = Tensor.from(new Float32Array(2 * 16 ** 3), [2, 1, 16, 16, 16]);
  const before = await network.state();
  using trainer = await Trainer.create(network, { loss: { kind: "l1" }, weightDecay: 0, ...options });
  await trainer.step(input, target, { learningRate: 1e-2, seed: 1 });
  const after = await network.state();
  const moved = new Map<string, number>();
  for (const { name, buffer } of network.parameters) {
    const [old, now] = [await (before[name] as Tensor).toArray(), await (after[name] as Tensor).toArray()];
    let most = 0;
    for (let i = 0; i < old.length; i++) most = Math.max(most, Math.abs(Number(old[i]) - Number(now[i])));
    if (!buffer) moved.set(name, most);
  }
  for (const tensor of [...Object.values(before), ...Object.values(after)]) tensor.dispose();
  return moved;
}

describe("partial fine-tuning", () => {
  it.each([
    ["ConvNeXt", convolutional, ["encoder.stages.2.1.", "encoder.stages.3.0."], "encoder.stages.2.0."],
    ["ResNet", residual, ["encoder.layer3.1.", "encoder.layer4.0."], "encoder.layer3.0."],
    ["vision transformer", transformer, ["backbone.blocks.2.", "backbone.blocks.3."], "backbone.blocks.1."],
  ])(
    "of a %s takes the last blocks, every norm of the encoder, and nothing else of it",
    async (_, spec, last, first) => {
      using network = await PlacedNetwork.build(spec, { seed: 1 });
      const names = lastBlocksAndNorms(network, 2);
      const all = network.parameters.filter(({ buffer }) => !buffer).map(({ name }) => name);
      for (const name of all.filter((one) => last.some((prefix) => one.startsWith(prefix))))
        expect(names).toContain(name);
      const others = names.filter((name) => !last.some((prefix) => name.startsWith(prefix)));
      expect(others.filter((name) => name.startsWith(first)).length).toBeGreaterThan(0);
      const shapes = new Map(network.parameters.map(({ name, shape }) => [name, shape]));
      for (const name of others) expect(shapes.get(name)).toHaveLength(1);
      expect(names.filter((name) => headParameters(network).includes(name))).toEqual([]);
      // 2 a norm: of a ConvNeXt 5 blocks, stem, 3 downsamplings and the final one; of a ResNet the stem, 3 a block and 4
      // shortcuts; of a transformer 2 a block and one.
      const norms = new Map([
        [convolutional, 10],
        [residual, 20],
        [transformer, 9],
      ]);
      expect(lastBlocksAndNorms(network, 0)).toHaveLength(2 * (norms.get(spec) as number));
    },
  );

  it("moves the head, those blocks and those norms, and nothing else", async () => {
    using network = await PlacedNetwork.build(convolutional, { seed: 1 });
    const trained = [...headParameters(network), ...lastBlocksAndNorms(network, 1)];
    const moved = await moves(network, { trainable: trained });
    for (const [name, most] of moved) if (!trained.includes(name)) expect([name, most]).toEqual([name, 0]);
    const still = trained.filter((name) => moved.get(name) === 0 && name.startsWith("encoder.stages.3"));
    expect(still).toEqual([]);
  });
});

describe("a frozen encoder", () => {
  it("keeps the statistics of its batch norm, which training moves", async () => {
    using network = await PlacedNetwork.build(residual, { seed: 1 });
    const statistics = async () => {
      const state = await network.state();
      const kept: [string, number[]][] = [];
      for (const [name, tensor] of Object.entries(state)) {
        if (/^encoder\..*running_/.test(name))
          kept.push([name, Array.from((await tensor.toArray()) as Float32Array)]);
        tensor.dispose();
      }
      return kept;
    };
    const before = await statistics();
    expect(before).toHaveLength(40);
    await moves(network, { trainable: headParameters(network) });
    expect(await statistics()).toEqual(before);
    await moves(network, {});
    expect(await statistics()).not.toEqual(before);
  });
});

describe("layer-wise learning-rate decay", () => {
  it.each([
    ["ConvNeXt", convolutional, 5],
    ["ResNet", residual, 5],
    ["vision transformer", transformer, 4],
  ])(
    "falls from the last block of a %s to its embedding, and spares norm and head",
    async (_, spec, blocks) => {
      using network = await PlacedNetwork.build(spec, { seed: 1 });
      const rates = layerwiseRates(network, 0.5);
      const names = Object.keys(rates);
      const of = (pattern: RegExp) => rates[names.find((name) => pattern.test(name)) as string];
      if (spec !== residual) expect(of(/^(encoder|backbone)\.norm\.weight/)).toBe(1);
      expect(of(/(stages\.3\.0|layer4\.0|blocks\.3)\./)).toBe(0.5);
      expect(of(/(stages\.0\.0|layer1\.0\.downsample|blocks\.0)\./)).toBe(0.5 ** blocks);
      expect(of(/^encoder\.(downsample_layers\.0|conv1)|patch_embed\./)).toBe(0.5 ** (blocks + 1));
      for (const name of headParameters(network)) expect(names).not.toContain(name);
    },
  );

  it("sets how far AdamW's first step moves a parameter", async () => {
    using network = await PlacedNetwork.build(convolutional, { seed: 1 });
    const rates = layerwiseRates(network, 0.5);
    const moved = await moves(network, { rates });
    // The first step of Adam has the length of the learning rate, whatever the gradient, where the gradient is not tiny.
    for (const name of ["encoder.downsample_layers.0.0.weight", "encoder.stages.2.1.pwconv2.weight"])
      expect(moved.get(name)).toBeCloseTo(1e-2 * (rates[name] as number), 5);
  });
});
