import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { inspectWeights } from "../dist/cli/inspect-weights.js";
import { Network } from "../dist/models/network.js";
import type { ConvNeXtSpec } from "../dist/native/network-spec.js";
import { Tensor } from "../dist/native/tensor.js";
import { type State, stateOf, writeForeign } from "./foreign-weights.js";
import { shared, sharedMissing } from "./shared.js";
import { temporaryFolder } from "./temporary-folder.js";

const encoder: ConvNeXtSpec = {
  family: "convnext-v2-3d",
  channels: 3,
  depths: [1, 1, 1, 1],
  dims: [4, 8, 8, 16],
};

let path: string;
beforeEach(async () => {
  path = join(await temporaryFolder(), "weights.pth");
});
afterEach(() => expect(Tensor.live).toBe(0));

async function drawn(): Promise<State> {
  using network = await Network.create({ encoder, seed: 1 });
  return stateOf(network);
}

async function loaded(file = path) {
  using network = await Network.create({ encoder, seed: 2 });
  const { report } = await network.loadCheckpoint(file);
  return { report, state: await stateOf(network) };
}

const inBlocks = (wrapper: string) => (name: string) =>
  name.replace(/^(stages\.\d+\.\d+)\./, `$1.${wrapper}`);

describe("the names of wrappers", () => {
  it.each<[string, (name: string) => string, string[]]>([
    ["around compiled blocks", inBlocks("_orig_mod."), ["_orig_mod."]],
    [
      "around blocks whose activations are computed again",
      inBlocks("_checkpoint_wrapped_module."),
      ["_checkpoint_wrapped_module."],
    ],
    [
      "of FSDP around the network and each block",
      (name) => `_fsdp_wrapped_module.${inBlocks("_fsdp_wrapped_module._checkpoint_wrapped_module.")(name)}`,
      ["_fsdp_wrapped_module.", "_checkpoint_wrapped_module."],
    ],
    ["of DeepSpeed and DDP", (name) => `_forward_module.module.${name}`, ["_forward_module.", "module."]],
    ["of DDP around some parts", (name) => name.replace(/^stages\.2\./, "stages.module.2."), ["module."]],
    [
      "of two kinds in one file",
      (name) => (name.startsWith("stages.") ? `module._orig_mod.${name}` : `model.${name}`),
      ["model.", "module.", "_orig_mod."],
    ],
    [
      "and of none, in one file",
      (name) => (name.startsWith("stages.3.") ? name : `module.encoder.${name}`),
      ["module."],
    ],
  ])("%s are left out, and told", async (_what, rename, wrappers) => {
    const state = await drawn();
    await writeForeign(path, state, (name, { shape, values }) => [rename(name), shape, values]);
    const { report, state: after } = await loaded();
    expect(after).toEqual(state);
    expect([...report.file.wrappers].sort()).toEqual([...wrappers].sort());
    expect(report.coverage.encoder).toBe(1);
    expect((await inspectWeights(path)).keyMaps[0]).toMatchObject({ coverage: 1 });
  });

  it("that would make two tensors one are refused with both", async () => {
    const state = await drawn();
    await writeForeign(path, state, (name, { shape, values }) => [name, shape, values], [
      ["module.norm.bias", [16]],
    ]);
    await expect(loaded()).rejects.toThrow(/several tensors for norm\.bias: norm\.bias, module\.norm\.bias/);
  });
});

describe.skipIf(sharedMissing)(
  "wrapped files of the field (needs the shared folder beside the checkout)",
  () => {
    it.each(["compiled_blocks.pth", "activation_checkpoint_wrapper.pth"])(
      "%s holds the weights of plain.pth",
      async (name) => {
        const file = (one: string) => shared("cases", "checkpoints", one);
        expect((await loaded(file(name))).state).toEqual((await loaded(file("plain.pth"))).state);
      },
    );
  },
);
