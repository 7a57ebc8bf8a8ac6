import { afterEach, expect, it } from "vitest";
import { batchNormStrideOf } from "../dist/models/architectures/index.js";
import { Network } from "../dist/models/network.js";
import { Tensor } from "../dist/native/tensor.js";
import { smallestBatchOf } from "../dist/study/config/smallest-batch.js";
import { batchNormOf } from "../dist/study/plan/micro-batch.js";
import { moduleFile, modules, pyramidStages, scriptEncoder } from "./torchscript-fixture.js";

afterEach(() => expect(Tensor.live).toBe(0));

/** Those that LibTorch loads as they are. */
const loadable = ["small-scripted", "small-traced", "pyramid"].filter((name) => name in modules);
const encoderOf = (name: string) =>
  scriptEncoder(name, name === "pyramid" ? { stages: pyramidStages, features: 10 } : {});

it.each(loadable)(
  "a batch norm in a TorchScript file is known before it is loaded, as LibTorch finds it: %s",
  async (name) => {
    const encoder = encoderOf(name);
    using network = await Network.create({ encoder });
    const normed = network.parameters.some((parameter) => parameter.name.endsWith("running_mean"));
    expect(batchNormStrideOf(encoder) !== null).toBe(normed);
    expect(batchNormOf({ encoder }, "everything") !== null).toBe(normed);
  },
);

it("both kinds are among them", () => {
  const found = loadable.map((name) => batchNormStrideOf(encoderOf(name)) !== null);
  expect(new Set(found)).toEqual(new Set([true, false]));
});

it("one that says nothing of its maps may stand behind pooling: steps have two cases, of whatever size", () => {
  const encoder = scriptEncoder("small-scripted");
  expect(batchNormStrideOf(encoder)).toBe(Number.POSITIVE_INFINITY);
  expect(smallestBatchOf({ encoder }, null, [200, 200, 96])).toBe(2);
});

it("one with maps has as many positions as its deepest map", () => {
  const encoder = scriptEncoder("small-scripted", { stages: [{ channels: 8, stride: [1, 16, 8] }] });
  expect(batchNormStrideOf(encoder)).toBe(16);
  expect(smallestBatchOf({ encoder }, null, [32, 16, 8])).toBe(1);
  expect(smallestBatchOf({ encoder }, null, [16, 16, 16])).toBe(2);
});

it("a file that is none, or is not there, has none: it is refused where it is loaded", () => {
  for (const file of ["/nowhere.pt", new URL(import.meta.url).pathname, moduleFile("")])
    expect(batchNormStrideOf({ ...scriptEncoder("small-scripted"), file })).toBeNull();
});
