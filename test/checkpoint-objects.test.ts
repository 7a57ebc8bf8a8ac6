import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openCheckpoint } from "../dist/models/checkpoints/checkpoint-file.js";
import { Network } from "../dist/models/network.js";
import type { ConvNeXtSpec } from "../dist/native/network-spec.js";
import { Tensor } from "../dist/native/tensor.js";
import { stateOf } from "./foreign-weights.js";
import { shared, sharedMissing } from "./shared.js";
import { temporaryFolder } from "./temporary-folder.js";
import { floats, TorchTensor, torchLegacy, torchZip, type Value } from "./torch-writer.js";

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => expect(Tensor.live).toBe(0));

async function opened(bytes: Uint8Array) {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "weights.pth"), bytes);
  return openCheckpoint(join(folder, "weights.pth"));
}

async function valuesOf(file: Awaited<ReturnType<typeof opened>>, name: string): Promise<number[]> {
  using tensor = await file.tensor(name);
  return Array.from(await tensor.toArray(), Number);
}

const weights: Value = { ordered: [["w", floats([1, 2])]] };
const beside = (extra: Value): Value => ({
  dictionary: [
    ["model", weights],
    ["extra", extra],
  ],
});
const latin = (bytes: number[]): Value => Uint8Array.from(bytes);
const doubleType = (order: string): Value => ({
  object: ["numpy", "dtype"],
  given: ["f8", false, true],
  state: { tuple: [3, order, null, null, null, -1, -1, 0] },
});

describe.each([
  ["PyTorch zip", torchZip],
  ["PyTorch legacy", torchLegacy],
])("weights in the format %s are read beside", (_format, write) => {
  // What each of these is in Python, and what it says: the bytes are those that Python's pickle writes.
  it.each<[string, Value, unknown]>([
    [
      "a number of NumPy 1",
      { call: ["numpy.core.multiarray", "scalar", doubleType("<"), latin([0, 0, 0, 0, 0, 0, 0xe0, 0x3f])] },
      0.5,
    ],
    [
      "a number of NumPy 2 from a machine of the other byte order",
      { call: ["numpy._core.multiarray", "scalar", doubleType(">"), latin([0x3f, 0xe0, 0, 0, 0, 0, 0, 0])] },
      0.5,
    ],
    [
      "an array of NumPy",
      {
        object: ["numpy.core.multiarray", "_reconstruct"],
        given: [{ global: ["numpy", "ndarray"] }, { tuple: [0] }, latin([0x62])],
        state: { tuple: [1, { tuple: [2, 1] }, doubleType("<"), false, latin(new Array(16).fill(0))] },
      },
      "array f8 [2, 1], 2 elements",
    ],
    ["a Counter", { call: ["collections", "Counter", { dictionary: [["a", 2]] }] }, { a: 2 }],
    [
      "a defaultdict",
      { object: ["collections", "defaultdict"], given: [{ global: ["x", "f"] }], entries: [["a", [1]]] },
      { a: [1] },
    ],
    ["a bytearray", { call: ["__builtin__", "bytearray", "a\xff", "latin-1"] }, "2 bytes"],
    ["no bytes", { call: ["__builtin__", "bytes"] }, "0 bytes"],
    ["a path", { call: ["pathlib", "PosixPath", "/", "data", "out"] }, "/data/out"],
    ["a path of Python 3.13", { call: ["pathlib._local", "PosixPath", "data", "out"] }, "data/out"],
    // 2024-05-06 07:08:09.000005: two bytes of the year, then one for each of the others, three of microseconds.
    [
      "a datetime",
      { call: ["datetime", "datetime", latin([7, 232, 5, 6, 7, 8, 9, 0, 0, 5])] },
      "2024-05-06 07:08:09",
    ],
    ["a date", { call: ["datetime", "date", latin([7, 232, 5, 6])] }, "2024-05-06"],
    ["a timedelta", { call: ["datetime", "timedelta", 1, 0, 0] }, "datetime.timedelta(1, 0, 0)"],
    ["a dictionary of a class of its own", { object: ["my.code", "Bag"], entries: [["a", 1]] }, { a: 1 }],
    ["a list of a class of its own", { object: ["my.code", "List"], items: [1, 2] }, [1, 2]],
    ["a namespace", { object: ["argparse", "Namespace"], state: { dictionary: [["lr", 0.1]] } }, { lr: 0.1 }],
    [
      "a dataclass with a configuration in it",
      {
        object: ["my.code", "Config"],
        state: {
          dictionary: [["data", { object: ["yacs.config", "CfgNode"], entries: [["size", 224]] }]],
        },
      },
      { data: { size: 224 } },
    ],
    [
      "a class with slots",
      { object: ["my.code", "Slots"], state: { tuple: [null, { dictionary: [["lr", 1]] }] } },
      { lr: 1 },
    ],
    ["an Enum", { call: ["my.code", "Color", 2] }, "my.code.Color(2)"],
    ["a class", { global: ["my.code", "Model"] }, "my.code.Model"],
    [
      "a sparse tensor",
      { call: ["torch._utils", "_rebuild_sparse_tensor", 1] },
      "torch._utils._rebuild_sparse_tensor(1)",
    ],
  ])("%s", async (_what, extra, told) => {
    const file = await opened(write(beside(extra)));
    expect([file.state, file.names, await valuesOf(file, "w")]).toEqual(["model", ["w"], [1, 2]]);
    expect(file.metadata.extra).toEqual(told);
  });

  it("are read where they lie in a dictionary or an object of a class that is not known", async () => {
    const whole = await opened(write({ object: ["my.code", "StateDict"], entries: [["w", floats([3])]] }));
    expect([whole.state, await valuesOf(whole, "w")]).toEqual(["", [3]]);
    expect(whole.unknown).toEqual(["my.code.StateDict"]);
    const inner = await opened(
      write({ object: ["my.code", "Run"], state: { dictionary: [["model", weights]] } }),
    );
    expect([inner.state, await valuesOf(inner, "w")]).toEqual(["model", [1, 2]]);
  });

  it("but a whole model is no state dict, and the refusal says so in words that are true", async () => {
    const parts: Value = {
      dictionary: [
        ["_parameters", { ordered: [["weight", floats([1])]] }],
        ["_modules", { ordered: [] }],
      ],
    };
    const refusal = expect(opened(write({ object: ["my.code", "Net"], state: parts }))).rejects;
    await refusal.toThrow(/No weights can be read from .*whole model \(my\.code\.Net\).*Save the state_dict/);
    await expect(opened(write({ dictionary: [["a", { global: ["my.code", "f"] }]] }))).rejects.toThrow(
      /it asks for "my\.code\.f", which is refused: nothing in a file is run/i,
    );
  });
});

describe("a tensor that depends on a class that is not known", () => {
  const encoder: ConvNeXtSpec = {
    family: "convnext-v2-3d",
    channels: 3,
    depths: [1, 1, 1, 1],
    dims: [4, 8, 8, 16],
  };
  /** The weights of a network, one of them wrapped in what is not known; an entry beside them that nothing wants. */
  async function written(odd: string): Promise<string> {
    using network = await Network.create({ encoder, seed: 1 });
    const entries = [...(await stateOf(network))].map(([name, { shape, values }]): [Value, Value] => {
      const tensor: Value = floats(values, shape);
      const made: Value = { call: ["my.code", "rebuild", tensor] };
      return [
        name,
        name === odd ? { call: ["torch._utils", "_rebuild_parameter", made, true, null] } : tensor,
      ];
    });
    const path = join(folder, "partly.pth");
    await mkdir(folder, { recursive: true });
    await writeFile(
      path,
      torchZip({ ordered: [...entries, ["scale", { call: ["my.code", "rebuild", 1] }]] }),
    );
    return path;
  }

  it("is refused by its name where the network needs it, and nothing else is", async () => {
    using network = await Network.create({ encoder, seed: 2 });
    const before = await stateOf(network);
    await expect(network.loadCheckpoint(await written("norm.bias"))).rejects.toThrow(
      /partly\.pth holds norm\.bias, which is norm\.bias, as something that depends on "my\.code\.rebuild"/,
    );
    expect(await stateOf(network)).toEqual(before);
    const { missing, report } = await network.loadCheckpoint(await written("none"));
    expect([missing, report.file.unknown]).toEqual([[], ["my.code.rebuild"]]);
  });
});

it("a file that would run a command is refused even where its weights are sound", async () => {
  for (const [module, name] of [
    ["posix", "system"],
    ["nt", "system"],
    ["subprocess", "Popen"],
    ["builtins", "eval"],
    ["__builtin__", "exec"],
    ["importlib", "import_module"],
  ] as const) {
    const file = opened(torchZip(beside({ call: [module, name, "touch pwned"] })));
    await expect(file).rejects.toMatchObject({
      code: "BAD_CHECKPOINT",
      message: expect.stringContaining(`"${module}.${name}", which is refused`),
    });
  }
  expect(await readdir(".")).not.toContain("pwned");
});

it("a tensor whose storage is of an unknown kind is no storage of numbers", async () => {
  const odd = floats([1]);
  const storage = Object.assign(Object.create(Object.getPrototypeOf(odd.storage)), odd.storage, {
    type: "QInt8Storage",
  });
  const file = await opened(
    torchZip({
      ordered: [
        ["w", floats([5])],
        ["q", new TorchTensor(storage, [1])],
      ],
    }),
  );
  expect([file.names, [...file.withheld]]).toEqual([["w"], [["q", "torch.QInt8Storage"]]]);
});

describe.skipIf(sharedMissing)("files of the field (needs the shared folder beside the checkout)", () => {
  const encoder: ConvNeXtSpec = {
    family: "convnext-v2-3d",
    channels: 3,
    depths: [1, 1, 1, 1],
    dims: [4, 8, 8, 16],
  };
  const loaded = async (name: string) => {
    using network = await Network.create({ encoder, seed: 5 });
    await network.loadCheckpoint(shared("cases", "checkpoints", name));
    return stateOf(network);
  };

  it.each(["numpy1_scalar.pth", "numpy2_scalar.pth", "posixpath.pth", "defaultdict.pth"])(
    "%s holds the weights of plain.pth",
    async (name) => {
      expect(await loaded(name)).toEqual(await loaded("plain.pth"));
    },
  );
});
