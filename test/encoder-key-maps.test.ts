import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Network } from "../dist/models/network.js";
import type { ResidualEncoderSpec, SwinUnetrSpec } from "../dist/native/network-spec.js";
import { Tensor } from "../dist/native/tensor.js";
import { type State, stateOf } from "./foreign-weights.js";
import { temporaryFolder } from "./temporary-folder.js";
import { floats, Storage, TorchTensor, torchZip, type Value } from "./torch-writer.js";

// What the packages themselves write is tried in published-checkpoints.test.ts, where Python has them.

const residual: ResidualEncoderSpec = {
  family: "residual-encoder-3d",
  channels: 1,
  features: [2, 4, 4, 6],
  blocks: [1, 2, 1, 1],
  strides: [1, 2, 2, 2],
};
const swin: SwinUnetrSpec = {
  family: "swin-unetr-3d",
  channels: 1,
  features: 4,
  depths: [1, 1, 1, 1],
  heads: [1, 1, 2, 2],
  window: 2,
};

let path: string;
beforeEach(async () => {
  path = join(await temporaryFolder(), "checkpoint_final.pth");
});
afterEach(() => expect(Tensor.live).toBe(0));

async function drawn(encoder: ResidualEncoderSpec | SwinUnetrSpec): Promise<State> {
  using network = await Network.create({ encoder, seed: 1 });
  return stateOf(network);
}

/** The tensors of a state, each once, so that one under two names is one tensor to PyTorch as well. */
const tensorsOf = (state: State): Map<string, TorchTensor> =>
  new Map([...state].map(([name, { shape, values }]) => [name, floats(values, shape)]));

const dictionary = (entries: Iterable<readonly [string, Value]>): Value => ({
  ordered: [...entries] as [Value, Value][],
});

async function loaded(encoder: ResidualEncoderSpec | SwinUnetrSpec) {
  using network = await Network.create({ encoder, seed: 2 });
  const { report } = await network.loadCheckpoint(path);
  return { report, state: await stateOf(network) };
}

const refusal = async (encoder: ResidualEncoderSpec | SwinUnetrSpec): Promise<string> => {
  using network = await Network.create({ encoder, seed: 2 });
  const before = await stateOf(network);
  const error = await network.loadCheckpoint(path).then(
    () => null,
    (reason: unknown) => reason as Error & { code: string },
  );
  expect(error?.code).toBe("BAD_CHECKPOINT");
  expect(await stateOf(network)).toEqual(before);
  return error?.message ?? "";
};

/** The names of dynamic-network-architectures for one of ours: each layer stands in `all_modules` too. */
const namesOf = (name: string): string[] => [
  `encoder.${name}`,
  `encoder.${name.replace(".conv.", ".all_modules.0.").replace(".norm.", ".all_modules.1.")}`,
];

/** A whole network of nnssl: the encoder, once more below the decoder, and the decoder. */
function wholeNetwork(state: State): [string, TorchTensor][] {
  const encoder = [...tensorsOf(state)].flatMap(([name, tensor]) =>
    namesOf(name).map((own): [string, TorchTensor] => [own, tensor]),
  );
  return [
    ...encoder,
    ...encoder.map(([name, tensor]): [string, TorchTensor] => [`decoder.${name}`, tensor]),
    ["decoder.transpconvs.0.weight", floats(new Array(48).fill(0.5), [6, 4, 2, 1, 1])],
    ["decoder.stages.0.convs.0.conv.weight", floats(new Array(32).fill(0.5), [4, 8, 1, 1, 1])],
  ];
}

describe("the key map of nnU-Net's residual encoder", () => {
  it("takes each layer once of a file that names it four times, and leaves the decoder", async () => {
    const state = await drawn(residual);
    const weights = wholeNetwork(state);
    await writeFile(
      path,
      torchZip({
        dictionary: [
          ["network_weights", dictionary(weights)],
          ["citations", []],
        ],
      }),
    );
    const { report, state: after } = await loaded(residual);
    expect(after).toEqual(state);
    expect(report.file).toMatchObject({ state: "network_weights", chosen: "only" });
    expect(report.keyMap).toMatchObject({ name: "residual-encoder-3d", chosen: "detected" });
    expect(report.loaded).toHaveLength(state.size);
    expect(report.leftOver).toHaveLength(weights.length - state.size);
    expect(report.warnings).toEqual([]);
  });

  it("takes network_weights before SparK's own set, which holds the same network twice and its tokens", async () => {
    const state = await drawn(residual);
    const weights = wholeNetwork(state);
    const spark = [
      ...weights.map(([name, tensor]): [string, TorchTensor] => [`architecture.${name}`, tensor]),
      ...weights,
      ["mask_tokens.0", floats([1, 2], [1, 2, 1, 1, 1])] as [string, TorchTensor],
    ];
    await writeFile(
      path,
      torchZip({
        dictionary: [
          ["spark_weights", dictionary(spark)],
          ["network_weights", dictionary(weights)],
        ],
      }),
    );
    const { report, state: after } = await loaded(residual);
    expect(after).toEqual(state);
    expect(report.file).toMatchObject({
      state: "network_weights",
      chosen: "likeliest",
      alternatives: [{ state: "spark_weights" }],
    });
  });

  it("takes an encoder once that a pretraining holds in two places, and refuses two of other numbers", async () => {
    const state = await drawn(residual);
    const [once, other] = [tensorsOf(state), tensorsOf(state)];
    const twice = (second: Map<string, TorchTensor>) => [
      ...[...once].map(([name, tensor]) => [`network.encoder.${name}`, tensor] as const),
      ...[...second].map(([name, tensor]) => [`encoder.${name}`, tensor] as const),
    ];
    await writeFile(path, torchZip({ dictionary: [["network_weights", dictionary(twice(once))]] }));
    expect((await loaded(residual)).state).toEqual(state);
    await writeFile(path, torchZip({ dictionary: [["network_weights", dictionary(twice(other))]] }));
    expect(await refusal(residual)).toMatch(
      /several tensors for stem\.convs\.0\.conv\.weight: network\.encoder/,
    );
  });

  it("shares a stem of one channel out among several, as nnU-Net does", async () => {
    const state = await drawn(residual);
    await writeFile(path, torchZip({ dictionary: [["network_weights", dictionary(wholeNetwork(state))]] }));
    const { state: after, report } = await loaded({ ...residual, channels: 2 });
    const stem = state.get("stem.convs.0.conv.weight")?.values as number[];
    const kernel = 27;
    expect(after.get("stem.convs.0.conv.weight")).toEqual({
      shape: [2, 2, 3, 3, 3],
      values: [0, 0, 1, 1].flatMap((out) =>
        stem.slice(out * kernel, (out + 1) * kernel).map((weight) => Math.fround(weight / 2)),
      ),
    });
    expect(report.loaded.find(({ from }) => from.endsWith("stem.convs.0.conv.weight"))?.change).toBe(
      "one channel shared out among 2",
    );
  });

  it("refuses a deeper encoder than the one that is asked for, though it holds all of that", async () => {
    const state = await drawn({ ...residual, blocks: [1, 3, 1, 2] });
    await writeFile(path, torchZip({ dictionary: [["network_weights", dictionary(wholeNetwork(state))]] }));
    expect(await refusal(residual)).toMatch(
      /2 blocks that the network lacks, such as encoder\.stages\.1\.blocks\.2\.conv1\.conv\.weight: .*larger/,
    );
  });

  it.each([
    ["squeeze and excitation", "stages.0.blocks.0.squeeze_excitation.fc1.weight"],
    ["bottleneck blocks", "stages.0.blocks.0.conv3.conv.weight"],
  ])("refuses %s, which the family does not have", async (means, name) => {
    const state = await drawn(residual);
    const weights = [...wholeNetwork(state), [`encoder.${name}`, floats([1, 2], [2, 1, 1, 1, 1])] as const];
    await writeFile(path, torchZip({ dictionary: [["network_weights", dictionary(weights)]] }));
    expect(await refusal(residual)).toContain(means);
  });
});

describe("the key map of MONAI's Swin UNETR", () => {
  it.each([
    ["the published pretraining", (name: string) => `module.${name.replace(".linear", ".fc")}`],
    ["a whole network", (name: string) => `swinViT.${name}`],
    ["a whole network of MONAI's first versions", (name: string) => `swin_vit.${name}`],
    ["a backbone in a pretraining", (name: string) => `module.backbone.swinViT.${name}`],
    ["disruptive autoencoders", (name: string) => `encoder.${name.replace(/^(layers\d\.0\.)/, "$10.")}`],
  ])("reads the names of %s", async (_, foreign) => {
    const state = await drawn(swin);
    const weights = [
      ...[...tensorsOf(state)].map(([name, tensor]) => [foreign(name), tensor] as const),
      [foreign("layers1.0.blocks.0.attn.relative_position_index"), floats([0, 1])] as const,
      ["module.rotation_head.weight", floats([1, 2], [1, 2])] as const,
    ];
    await writeFile(path, torchZip({ dictionary: [["state_dict", dictionary(weights)]] }));
    const { report, state: after } = await loaded(swin);
    expect(after).toEqual(state);
    expect(report.keyMap).toMatchObject({ name: "swin-unetr-3d", chosen: "detected" });
    expect(report.leftOver).toHaveLength(2);
  });

  it("refuses the second version, whose stages begin with a convolution", async () => {
    const weights = [
      ...[...tensorsOf(await drawn(swin))].map(([name, tensor]) => [`swinViT.${name}`, tensor] as const),
      ["swinViT.layers1c.0.layer.conv1.conv.weight", floats(new Array(16).fill(1), [4, 4, 1, 1, 1])] as const,
    ];
    await writeFile(path, torchZip({ dictionary: [["state_dict", dictionary(weights)]] }));
    expect(await refusal(swin)).toMatch(/second version .*layers1c.*TorchScript/);
  });
});

describe("a set of weights among several", () => {
  it("is measured by its numbers, each once, whatever views and names there are of them", async () => {
    // One storage, of which the set's tensors are views one after the other: all of them count.
    const state = await drawn(residual);
    const all = [...state].flatMap(([, { values }]) => values);
    const bytes = new Uint8Array(Float32Array.from(all).buffer);
    const storage = new Storage("flat", "FloatStorage", bytes, 4);
    let offset = 0;
    const views = [...state].map(([name, { shape, values }]) => {
      const tensor = new TorchTensor(storage, shape, { offset });
      offset += values.length;
      return [name, tensor] as const;
    });
    const small = floats(new Array(50).fill(1), [50]);
    const repeated = Array.from({ length: 400 }, (_, at) => [`copy.${at}`, small] as const);
    await writeFile(
      path,
      torchZip({
        dictionary: [
          ["repeated", dictionary(repeated)],
          ["whatever", dictionary(views)],
        ],
      }),
    );
    const { report, state: after } = await loaded(residual);
    expect(report.file).toMatchObject({ state: "whatever", chosen: "only" });
    expect(after).toEqual(state);
  });
});
