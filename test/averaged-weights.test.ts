import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openCheckpoint } from "../dist/models/checkpoints/checkpoint-file.js";
import { Network } from "../dist/models/network.js";
import type { ConvNeXtSpec } from "../dist/native/network-spec.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { cli } from "./cli-fixture.js";
import { stateOf } from "./foreign-weights.js";
import { shared, sharedMissing } from "./shared.js";
import { temporaryFolder } from "./temporary-folder.js";
import { floats, torchZip, type Value } from "./torch-writer.js";

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

async function drawn(seed: number) {
  using network = await Network.create({ encoder, seed });
  return stateOf(network);
}

async function loaded(options: Parameters<Network["loadCheckpoint"]>[1] = {}, file = path) {
  using network = await Network.create({ encoder, seed: 9 });
  const { report } = await network.loadCheckpoint(file, options);
  return { report, state: await stateOf(network) };
}

/** A state dict of the weights drawn with a seed. */
async function ordered(seed: number, prefix = ""): Promise<[Value, Value][]> {
  return [...(await drawn(seed))].map(([name, { shape, values }]) => [prefix + name, floats(values, shape)]);
}

describe("a file of weights and their running average", () => {
  it.each([
    ["model", "model_ema"],
    ["state_dict", "state_dict_ema"],
    ["state_dict", "teacher"],
    ["teacher", "student"],
    ["model", "ema.module"],
  ])("under %s and %s is told, and either is taken where it is named", async (first, second) => {
    const under = async (state: string, seed: number): Promise<[Value, Value]> => {
      const [outer, inner] = state.split(".");
      const tensors: Value = { ordered: await ordered(seed) };
      return [outer, inner === undefined ? tensors : { dictionary: [[inner, tensors]] }];
    };
    await writeFile(
      path,
      torchZip({ dictionary: [await under(second, 2), await under(first, 1), ["epoch", 3]] }),
    );
    const likeliest = await loaded();
    expect(likeliest.state).toEqual(await drawn(1));
    expect(likeliest.report.file).toMatchObject({
      state: first,
      chosen: "likeliest",
      alternatives: [{ state: second, tensors: 58 }],
    });
    expect(likeliest.report.warnings.join(" ")).toContain(
      `${first} was taken, by its name. There is also ${second} (58 tensors). weightsState names`,
    );
    const named = await loaded({ weightsState: second });
    expect(named.state).toEqual(await drawn(2));
    expect(named.report.file).toMatchObject({ state: second, chosen: "named" });
    expect(named.report.warnings).toEqual([]);
  });

  it("in one dictionary, as names that begin with each, is taken apart, in safetensors too", async () => {
    await writeFile(
      path,
      torchZip({
        dictionary: [
          ["state_dict", { ordered: [...(await ordered(2, "student.")), ...(await ordered(1, "teacher."))] }],
        ],
      }),
    );
    expect((await loaded()).state).toEqual(await drawn(1));
    expect((await loaded({ weightsState: "state_dict.student" })).state).toEqual(await drawn(2));
    using a = Tensor.from(Float32Array.of(1, 2, 3), [3]);
    using b = Tensor.from(Float32Array.of(4, 5, 6), [3]);
    using step = Tensor.from(Float32Array.of(7), [1]);
    const flat = path.replace(".pth", ".safetensors");
    await writeSafetensors(flat, { "ema.w": a, "model.w": b, step });
    const file = await openCheckpoint(flat, { weightsState: "ema" });
    expect([file.state, file.names, file.stored("w").offset < file.bytes]).toEqual(["ema", ["w"], true]);
    expect((await openCheckpoint(flat)).state).toBe("model");
  });

  it("has no set of another name: the refusal says which there are", async () => {
    await writeFile(
      path,
      torchZip({
        dictionary: [
          ["model", { ordered: await ordered(1) }],
          ["model_ema", { ordered: await ordered(2) }],
        ],
      }),
    );
    await expect(loaded({ weightsState: "model_emma" })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(
        /\("model", "model_ema"\) but received "model_emma".*mean "model_ema"\?/,
      ),
    });
    const { stdout } = await cli("inspect", path);
    expect(stdout).toMatch(/or weights +58 tensors under model_ema/);
    const named = JSON.parse((await cli("inspect", path, "--weights-state", "model_ema", "--json")).stdout);
    expect(named).toMatchObject({
      state: "model_ema",
      chosen: "named",
      alternatives: [{ state: "model", tensors: 58 }],
    });
  });
});

/** All values in a file, by name. */
async function valuesOf(at: string, weightsState?: string): Promise<[string, number[]][]> {
  const opened = await openCheckpoint(at, { weightsState });
  const values: [string, number[]][] = [];
  for (const name of opened.names) {
    using tensor = await opened.tensor(name);
    values.push([name, Array.from((await tensor.toArray()) as Float32Array)]);
  }
  return values;
}

describe.skipIf(sharedMissing)(
  "timm's file with its average (needs the shared folder beside the checkout)",
  () => {
    const file = (name: string) => shared("cases", "checkpoints", name);
    it("holds the weights of same.pth as their average, and others beside it", async () => {
      const names = ["state_dict", "state_dict_ema"];
      const [own, average] = await Promise.all(
        names.map((weightsState) => valuesOf(file("timm_ema.pth.tar"), weightsState)),
      );
      expect(average).toEqual(await valuesOf(file("same.pth")));
      expect(own).not.toEqual(average);
      expect(await valuesOf(file("timm_ema.pth.tar"))).toEqual(own);
    });
  },
);
