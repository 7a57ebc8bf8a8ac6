import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { oddAxis } from "../dist/models/checkpoints/axis-statistics.js";
import type { LoadReport } from "../dist/models/checkpoints/load-report.js";
import { loadEncoder, WeightsRefused } from "../dist/models/checkpoints/load-weights.js";
import { Network, type NetworkOptions } from "../dist/models/network.js";
import { headParameters } from "../dist/models/parameters.js";
import type { ConvNeXtSpec, DinoVitSpec } from "../dist/native/network-spec.js";
import { readSafetensors, writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { type State, stateOf, turned, writeForeign } from "./foreign-weights.js";
import { hashFill } from "./hash-fill.js";
import { temporaryFolder } from "./temporary-folder.js";
import { floats, Storage, TorchTensor, torchZip } from "./torch-writer.js";

const encoder: ConvNeXtSpec = {
  family: "convnext-v2-3d",
  channels: 3,
  depths: [1, 1, 2, 1],
  dims: [16, 16, 16, 16],
};
const vision: DinoVitSpec = {
  family: "dino-vit",
  channels: 3,
  patch: 14,
  embedDim: 12,
  depth: 2,
  heads: 3,
  registers: 4,
  axisTokens: 2,
};

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder, "weights.pth");
});
afterEach(() => expect(Tensor.live).toBe(0));

const create = (seed: number, options: Omit<NetworkOptions, "encoder" | "seed"> = {}) =>
  Network.create({ encoder, seed, ...options });

async function drawn(): Promise<State> {
  using network = await create(1);
  return stateOf(network);
}

/** What loading the file into a fresh network is refused with. */
async function refusal(
  options: Parameters<Network["loadCheckpoint"]>[1] = {},
  file = path,
): Promise<LoadReport> {
  using network = await create(2);
  try {
    await network.loadCheckpoint(file, options);
  } catch (error) {
    if (error instanceof WeightsRefused) return error.report;
    throw error;
  }
  throw new Error("It was loaded");
}

async function report(
  options: Parameters<Network["loadCheckpoint"]>[1] = {},
  file = path,
): Promise<LoadReport> {
  using network = await create(2);
  return (await network.loadCheckpoint(file, { fresh: true, ...options })).report;
}

const same = (name: string, { shape, values }: { shape: number[]; values: number[] }) =>
  [name, shape, values] as [string, number[], number[]];

describe("the load report", () => {
  it("accounts for every tensor of the file and every parameter of the network, by module too", async () => {
    const state = await drawn();
    await writeForeign(path, state, (name, tensor) => (name === "norm.bias" ? null : same(name, tensor)));
    using network = await create(2);
    const { loaded, missing, unexpected, report: found } = await network.loadCheckpoint(path);
    expect([...loaded, ...missing].sort()).toEqual(network.parameters.map(({ name }) => name).sort());
    expect([missing, unexpected]).toEqual([["norm.bias"], []]);
    expect(found.modules.find(({ name }) => name === "norm")).toEqual({
      name: "norm",
      tensors: 2,
      loaded: 1,
      parameters: 32,
      parametersLoaded: 16,
    });
    const sum = (key: "tensors" | "loaded" | "parameters") =>
      found.modules.reduce((total, module) => total + module[key], 0);
    expect([sum("tensors"), sum("loaded")]).toEqual([state.size, state.size - 1]);
    const parameters = [...state.values()].reduce((total, { values }) => total + values.length, 0);
    expect(sum("parameters")).toBe(parameters);
    expect(found.coverage.encoder).toBeCloseTo((parameters - 16) / parameters, 12);
    expect(found.warnings.join(" ")).toContain("norm.bias");
  });

  it("says how far the embedding of the probe moved from random weights, and flags where it hardly did", async () => {
    await writeForeign(path, await drawn(), same);
    const found = await report();
    expect(found.embedding?.before).toBe("random weights");
    expect(found.embedding?.change).toBeGreaterThan(0.5);
    expect(found.warnings).toEqual([]);
    using network = await create(1);
    const again = (await network.loadCheckpoint(path)).report;
    expect(again.embedding).toEqual({ change: 0, before: "the weights before" });
    expect(again.warnings.join(" ")).toMatch(/hardly changed/);
  });

  it.each([
    ["the even ones", 0],
    ["the odd ones", 1],
  ])(
    "refuses a file with half its keys renamed (%s), naming the closest key map and what is missing",
    async (_what, half) => {
      let count = 0;
      await writeForeign(path, await drawn(), (name, tensor) =>
        same(++count % 2 === half ? name.replace(/^/, "another.") : name, tensor),
      );
      const found = await refusal();
      expect(found.coverage.encoderTensors).toBeCloseTo(0.5, 1);
      expect(found.refusal).toMatch(
        /at least 95 % of the encoder's parameters in .*weights\.pth but found \d+(\.\d)? %, in \d+(\.\d)? % of its tensors\. The closest key map is convnext-v2-3d .*Missing are \d+ tensors, such as .*Left over are \d+ of the file's \d+, such as another\./,
      );
      expect(found.leftOver.length).toBeGreaterThan(10);
      expect(found.missing).toHaveLength(found.leftOver.length);
      // Whoever wants half of it says so.
      expect((await report({ leastCoverage: 0.01 })).coverage).toEqual(found.coverage);
    },
  );

  it("names the source of a file that is for another family", async () => {
    using other = await Network.create({ encoder: vision, head: { kind: "conv1", outputs: 2 } });
    await writeForeign(path, await stateOf(other), same);
    expect((await refusal()).refusal).toMatch(/found 0 %, .*looks like ProViCNet .*\(provicnet\).*dino-vit/);
  });

  it("refuses numbers that are not finite, naming the tensors, and leaves the network as it was", async () => {
    await writeForeign(path, await drawn(), (name, { shape, values }) => [
      name,
      shape,
      name === "stages.2.1.grn.beta"
        ? values.map((value, index) => (index === 3 ? Number.NaN : value))
        : values,
    ]);
    using network = await create(2);
    const before = await stateOf(network);
    await expect(network.loadCheckpoint(path)).rejects.toThrow(/not finite: stages\.2\.1\.grn\.beta \(1\)/);
    expect(await stateOf(network)).toEqual(before);
  });

  it("refuses tensors of another shape or kind, two for one parameter, and codes of a quantised network", async () => {
    const state = await drawn();
    await writeForeign(path, state, (name, { shape, values }) =>
      name === "stages.0.0.pwconv1.bias" ? [name, [8, 2], values.slice(0, 16)] : [name, shape, values],
    );
    expect((await refusal()).refusal).toMatch(
      /expected shape \[64\] for stages\.0\.0\.pwconv1\.bias but received float32 \[8, 2\]/,
    );
    const codes = new TorchTensor(new Storage("q", "CharStorage", new Uint8Array(16), 1), [16]);
    const entries = [...state].map(([name, { shape, values }]): [string, TorchTensor] => [
      name,
      floats(values, shape),
    ]);
    const replaced = entries.map(([name, tensor]): [string, TorchTensor] => [
      name,
      name === "norm.bias" ? codes : tensor,
    ]);
    await writeFile(path, torchZip({ ordered: replaced }));
    expect((await refusal()).refusal).toMatch(/norm\.bias but received int8 \[16\]/);
    await writeFile(
      path,
      torchZip({ ordered: [...entries, ["encoder.norm.bias", floats(new Array(16).fill(1))]] }),
    );
    expect((await refusal()).refusal).toMatch(
      /several tensors for norm\.bias: norm\.bias, encoder\.norm\.bias/,
    );
  });

  it("refuses a key map that is not known, or that is for another family", async () => {
    await writeForeign(path, await drawn(), same);
    await expect(report({ keyMap: "profund" })).rejects.toMatchObject({ code: "BAD_INPUT" });
    await expect(report({ keyMap: "convnext-v2-3" })).rejects.toThrow(/Did you mean "convnext-v2-3d"/);
    await expect(report({ keyMap: "provicnet" })).rejects.toThrow(/family convnext-v2-3d \(profound-masked/);
    expect((await report({ keyMap: "convnext-v2-3d" })).keyMap.chosen).toBe("named");
  });

  it("of an encoder leaves the head alone, and what else the file holds", async () => {
    using source = await create(1, { head: { kind: "unetr", outputs: 1, featureSize: 4 } });
    await source.save(join(folder, "whole.safetensors"));
    using target = await create(2, { head: { kind: "unetr", outputs: 2, featureSize: 4 } });
    const before = await stateOf(target);
    const found = await loadEncoder(target, join(folder, "whole.safetensors"));
    const after = await stateOf(target);
    const head = headParameters(target);
    for (const name of head) expect(after.get(name)).toEqual(before.get(name));
    expect(found.coverage.encoder).toBe(1);
    expect(found.leftOver).toHaveLength(head.length);
    expect(found.orientation.verdict).toBe("as recorded");
  });
});

describe("permuted spatial axes", () => {
  /** Turns every kernel that is as long along each axis. */
  const turn =
    (order: number[]) =>
    (name: string, { shape, values }: { shape: number[]; values: number[] }) => {
      const isCube = shape.length === 5 && shape[4] > 1 && shape[2] === shape[3] && shape[3] === shape[4];
      return [name, shape, isCube ? turned(shape, values, order) : values] as [string, number[], number[]];
    };

  /** Rewrites a safetensors file with its kernels turned and its metadata kept. */
  async function turnedFile(from: string, order: number[]): Promise<string> {
    const file = await readSafetensors(from);
    const to = join(folder, `turned-${order.join("")}.safetensors`);
    const tensors: Record<string, Tensor> = {};
    for (const name of file.names) {
      using tensor = await file.tensor(name);
      const values = Array.from((await tensor.toArray()) as Float32Array);
      tensors[name] = Tensor.from(
        Float32Array.from(turn(order)(name, { shape: tensor.shape, values })[2]),
        tensor.shape,
      );
    }
    await writeSafetensors(to, tensors, file.metadata);
    for (const tensor of Object.values(tensors)) tensor.dispose();
    return to;
  }

  it.each([
    [[2, 1, 0], "width, height, depth"],
    [[0, 2, 1], "depth, width, height"],
    [[1, 2, 0], "height, width, depth"],
    [[2, 0, 1], "width, depth, height"],
  ])("%j of weights that this package wrote are refused, and named", async (order, words) => {
    using source = await create(1);
    const own = join(folder, "own.safetensors");
    await source.save(own, { note: "kept" });
    const found = await report({}, own);
    expect(found.orientation.verdict).toBe("as recorded");
    expect(found.file.metadata.note).toBe("kept");
    const wrong = await refusal({}, await turnedFile(own, order));
    expect(wrong.orientation.verdict).toBe("permuted");
    expect(wrong.refusal).toContain(`they lie as (${words})`);
  });

  it("are told from weights that were changed since they were written", async () => {
    using source = await create(1);
    const own = join(folder, "own.safetensors");
    await source.save(own);
    const { metadata } = await readSafetensors(own);
    using other = await create(5);
    const state = await other.state();
    await writeSafetensors(own, state, metadata);
    for (const tensor of Object.values(state)) tensor.dispose();
    expect((await refusal({}, own)).orientation.verdict).toBe("not as recorded");
  });

  it("of kernels that are stored channels last are refused by their shape", async () => {
    await writeForeign(path, await drawn(), (name, { shape, values }) =>
      name === "downsample_layers.0.0.weight" ? [name, [4, 4, 4, 3, 16], values] : [name, shape, values],
    );
    const found = await refusal();
    expect(found.orientation).toMatchObject({ verdict: "permuted" });
    expect(found.refusal).toMatch(/received float32 \[4, 4, 4, 3, 16\].*axes in another order/);
  });

  it("that a file keeps as views are flagged", async () => {
    const entries = [...(await drawn())].map(([name, { shape, values }]): [string, TorchTensor] => {
      const tensor = floats(values, shape);
      if (!name.endsWith("dwconv.weight")) return [name, tensor];
      return [name, new TorchTensor(tensor.storage, shape, { strides: [343, 343, 1, 7, 49] })];
    });
    await writeFile(path, torchZip({ ordered: entries }));
    const found = await report();
    expect(found.orientation.verdict).toBe("suspect");
    expect(found.warnings.join(" ")).toMatch(
      /stages\.0\.0\.dwconv\.weight is kept as a view .*, and 4 more so/,
    );
  });

  it("of foreign weights are flagged where kernels bear the mark of thick slices at another axis", async () => {
    // Kernels that are smooth along one axis, as training on volumes of thick slices leaves them along depth.
    const smooth = (state: State) =>
      writeForeign(path, state, (name, { shape, values }) => {
        if (!name.endsWith("dwconv.weight")) return [name, shape, values];
        const noise = [...hashFill(name, values.length)];
        return [
          name,
          shape,
          noise.map((value, at) => value + (at % 343 >= 49 ? (noise[at - 49] as number) : value)),
        ];
      });
    await smooth(await drawn());
    expect((await report()).orientation.verdict).toBe("plausible");
    const file = path;
    path = join(folder, "turned.pth");
    using network = await create(2);
    await network.loadCheckpoint(file);
    await writeForeign(path, await stateOf(network), turn([2, 1, 0]));
    const found = await report();
    expect(found.orientation).toMatchObject({
      verdict: "suspect",
      words: expect.stringContaining("along width"),
    });
    expect(found.warnings).toContain(found.orientation.words);
  });

  it("of kernels as drawn cannot be told, and the report says so", async () => {
    await writeForeign(path, await drawn(), turn([2, 1, 0]));
    expect((await report()).orientation).toMatchObject({
      verdict: "cannot be told",
      words: expect.stringContaining("fit in any order"),
    });
    const layers = Array.from({ length: 20 }, (_, layer) => ({
      kernels: Float32Array.from(hashFill(`noise ${layer}`, 64 * 343)),
      edges: [7, 7, 7],
    }));
    expect(oddAxis(layers)).toBeNull();
  });
});
