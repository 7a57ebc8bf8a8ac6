import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openCheckpoint } from "../dist/models/checkpoints/checkpoint-file.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { temporaryFolder } from "./temporary-folder.js";
import {
  floats,
  pickle,
  Storage,
  TorchTensor,
  torchLegacy,
  torchZip,
  torchZipFiles,
  type Value,
  zip,
} from "./torch-writer.js";

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => expect(Tensor.live).toBe(0));

async function opened(bytes: Uint8Array, name = "weights.pth") {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return openCheckpoint(path);
}

/** Opening `bytes` is refused, with the file's name and a reason. */
async function refused(bytes: Uint8Array, reason: RegExp) {
  const refusal = expect(opened(bytes)).rejects;
  await refusal.toMatchObject({ code: "BAD_CHECKPOINT", message: expect.stringContaining("weights.pth") });
  await expect(opened(bytes)).rejects.toThrow(reason);
}

const bytesOf = (array: { buffer: ArrayBufferLike }) => new Uint8Array(array.buffer);
const counting = Float32Array.from({ length: 24 }, (_, index) => index);
const shared = new Storage("shared", "FloatStorage", bytesOf(counting), 4);

async function valuesOf(file: Awaited<ReturnType<typeof opened>>, name: string): Promise<number[]> {
  using tensor = await file.tensor(name);
  expect(tensor.shape).toEqual(file.info(name).shape);
  return Array.from(await tensor.toArray(), Number);
}

describe.each([
  ["PyTorch zip", torchZip],
  ["PyTorch legacy", torchLegacy],
])("a file in the format %s", (format, write) => {
  it("gives views, slices, shared storages, scalars, empty tensors and parameters as they were", async () => {
    const file = await opened(
      write({
        ordered: [
          ["whole", new TorchTensor(shared, [4, 6])],
          ["transposed", new TorchTensor(shared, [6, 4], { strides: [1, 6] })],
          ["slice", new TorchTensor(shared, [2, 3], { strides: [6, 2], offset: 7 })],
          ["repeated", new TorchTensor(shared, [2, 3], { strides: [0, 1], offset: 1 })],
          ["parameter", new TorchTensor(shared, [24], { parameter: true })],
          ["scalar", floats([3.5], [])],
          ["empty", floats([], [0, 3])],
        ],
      }),
    );
    expect(file.format).toBe(format);
    const columns = Array.from({ length: 6 }, (_, column) => [0, 6, 12, 18].map((row) => row + column));
    expect(await valuesOf(file, "whole")).toEqual([...counting]);
    expect(await valuesOf(file, "transposed")).toEqual(columns.flat());
    expect(await valuesOf(file, "slice")).toEqual([7, 9, 11, 13, 15, 17]);
    expect(await valuesOf(file, "repeated")).toEqual([1, 2, 3, 1, 2, 3]);
    expect(await valuesOf(file, "parameter")).toEqual([...counting]);
    expect(await valuesOf(file, "scalar")).toEqual([3.5]);
    expect(await valuesOf(file, "empty")).toEqual([]);
  });

  it("finds the weights among other tensors, and tells what stands beside them", async () => {
    const file = await opened(
      write({
        dictionary: [
          ["epoch", 7],
          [
            "optimizer",
            {
              dictionary: [
                ["state", { dictionary: [[0, { dictionary: [["exp_avg", floats([1, 2, 3])]] }]] }],
              ],
            },
          ],
          ["student", { ordered: [["w", floats([1, 2])]] }],
          ["teacher", { ordered: [["module.w", floats([3, 4])]] }],
          [
            "args",
            {
              namespace: [
                ["lr", 0.1],
                ["name", "é"],
                ["sizes", { tuple: [64, 2 ** 40, -1n * 2n ** 70n] }],
              ],
            },
          ],
          ["infinite", Number.POSITIVE_INFINITY],
        ],
      }),
    );
    expect([file.state, file.names]).toEqual(["teacher", ["module.w"]]);
    expect(file.besides).toEqual([
      { state: "student", tensors: 1 },
      { state: "optimizer.state.0", tensors: 1 },
    ]);
    expect(file.metadata).toEqual({
      epoch: 7,
      optimizer: { state: { 0: "1 tensor" } },
      student: "1 tensor",
      teacher: "1 tensor",
      args: { lr: 0.1, name: "é", sizes: [64, 2 ** 40, "-1180591620717411303424"] },
      infinite: "Infinity",
    });
    expect(await valuesOf(file, "module.w")).toEqual([3, 4]);
  });

  it("gives numbers of every type", async () => {
    const types: [string, string, Uint8Array, number, number[]][] = [
      ["float64", "DoubleStorage", bytesOf(Float64Array.of(1.5, -2e300)), 8, [1.5, -2e300]],
      ["float16", "HalfStorage", bytesOf(Uint16Array.of(0x3e00, 0x0001, 0xfbff)), 2, [1.5, 2 ** -24, -65504]],
      ["bfloat16", "BFloat16Storage", bytesOf(Uint16Array.of(0x3fc0, 0xc000)), 2, [1.5, -2]],
      ["int64", "LongStorage", bytesOf(BigInt64Array.of(-3n, 2n ** 40n)), 8, [-3, 2 ** 40]],
      ["int32", "IntStorage", bytesOf(Int32Array.of(-3, 2 ** 30)), 4, [-3, 2 ** 30]],
      ["int16", "ShortStorage", bytesOf(Int16Array.of(-3, 300)), 2, [-3, 300]],
      ["int8", "CharStorage", bytesOf(Int8Array.of(-3, 100)), 1, [-3, 100]],
      ["uint8", "ByteStorage", Uint8Array.of(3, 200), 1, [3, 200]],
      ["bool", "BoolStorage", Uint8Array.of(0, 1, 7), 1, [0, 1, 1]],
    ];
    const file = await opened(
      write({
        ordered: types.map(([name, type, bytes, size]) => {
          const storage = new Storage(name, type, bytes, size);
          return [name, new TorchTensor(storage, [bytes.length / size])];
        }),
      }),
    );
    for (const [name, , , , expected] of types) {
      expect(file.info(name).dtype).toBe(name);
      expect(await valuesOf(file, name)).toEqual(expected);
    }
  });

  it("refuses any class or function that is not plain data, by its name", async () => {
    const evil: Value = { call: ["posix", "system", "touch pwned"] };
    await refused(write({ dictionary: [["model", evil]] }), /"posix\.system".*refused/);
    await refused(write({ dictionary: [["x", { global: ["builtins", "eval"] }]] }), /"builtins\.eval"/);
    await refused(write({ dictionary: [["x", { global: ["torch", "load"] }]] }), /"torch\.load"/);
    await refused(
      write({ dictionary: [["x", { global: ["__proto__", "constructor"] }]] }),
      /"__proto__\.constructor"/,
    );
    await refused(write({ dictionary: [["x", { call: ["torch", "float32"] }]] }), /calls torch\.float32/);
  });

  it("refuses tensors that reach beyond their storage", async () => {
    const wrong = (tensor: TorchTensor) => write({ ordered: [["w", tensor]] });
    await refused(wrong(new TorchTensor(shared, [5, 6])), /reaches to element 30 of a storage of 24/);
    await refused(wrong(new TorchTensor(shared, [4, 6], { offset: 1 })), /reaches to element 25/);
    await refused(wrong(new TorchTensor(shared, [2], { strides: [2 ** 52] })), /reaches/);
    await refused(wrong(new TorchTensor(shared, [2 ** 52, 2 ** 52])), /reaches/);
    await refused(wrong(new TorchTensor(shared, [-1, 6])), /whole numbers/);
    await refused(wrong(new TorchTensor(shared, [4, 6], { strides: [1] })), /do not fit each other/);
    await refused(wrong(new TorchTensor(shared, [2 ** 31, 2], { strides: [0, 1] })), /repeats.*too often/);
  });

  it("refuses a storage that claims more than the file has", async () => {
    const short = new Storage("short", "FloatStorage", bytesOf(Float32Array.of(1)), 4, 1e9);
    await refused(write({ ordered: [["w", new TorchTensor(short, [4])]] }), /claims|cut short/);
  });

  it("refuses a file without named tensors", async () => {
    await refused(write([1, 2]), /no tensors by name/);
    await refused(write({ dictionary: [["epoch", 1]] }), /no tensors by name/);
  });

  it("is refused, or reads the same, wherever it is cut off or one byte is another", async () => {
    const whole = write({
      dictionary: [
        ["model", { ordered: [["w", new TorchTensor(shared, [4, 6])]] }],
        ["epoch", 3],
      ],
    });
    const path = join(folder, "mutated.pth");
    const answer = async (bytes: Uint8Array) => {
      await writeFile(path, bytes);
      try {
        const file = await openCheckpoint(path);
        for (const name of file.names) (await file.tensor(name)).dispose();
        return "read";
      } catch (error) {
        expect(error).toMatchObject({ code: "BAD_CHECKPOINT" });
        return "refused";
      }
    };
    for (let length = 0; length < whole.length; length += 7)
      expect(await answer(whole.subarray(0, length))).toBe("refused");
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), async (at, byte) => {
        const bytes = Buffer.from(whole);
        bytes[at] = byte;
        await answer(bytes);
      }),
      { numRuns: 300 },
    );
  });
});

describe("PyTorch's zip format", () => {
  const files = () => torchZipFiles({ ordered: [["w", new TorchTensor(shared, [4, 6])]] });

  it("is read where its sizes stand in zip64 fields", async () => {
    expect(await valuesOf(await opened(zip(files(), { large: true })), "w")).toEqual([...counting]);
  });

  it("is read where its numbers lie with the most significant byte first", async () => {
    const big = Buffer.from(counting.buffer.slice(0)).swap32();
    const storage = new Storage("big", "FloatStorage", big, 4);
    const file = await opened(
      zip(torchZipFiles({ ordered: [["w", new TorchTensor(storage, [24])]] }, "big")),
    );
    expect(await valuesOf(file, "w")).toEqual([...counting]);
  });

  it("gives 8-bit floats, which have untyped storages", async () => {
    // Values of PyTorch 2.14.1: torch.tensor([0x38, 0x40, 0xb8, 0x7e], dtype=uint8).view(dtype).float()
    const storage = new Storage("bytes", "UntypedStorage", Uint8Array.of(0x38, 0x40, 0xb8, 0x7e), 1);
    const types = {
      float8_e4m3fn: [1, 2, -1, 448],
      float8_e4m3fnuz: [0.5, 1, -0.5, 224],
      float8_e5m2: [0.5, 2, -0.5, Number.NaN],
      float8_e5m2fnuz: [0.25, 1, -0.25, 49152],
      float8_e8m0fnu: [2 ** -71, 2 ** -63, 2 ** 57, 0.5],
    };
    const file = await opened(
      torchZip({
        ordered: Object.keys(types).map((dtype) => [dtype, new TorchTensor(storage, [4], { dtype })]),
      }),
    );
    for (const [name, expected] of Object.entries(types))
      expect(await valuesOf(file, name)).toEqual(expected);
  });

  it.each([
    ["entries that overlap", "data/shared", { local: 0 }, /overlaps/],
    ["an entry larger than the file", "data/shared", { size: 2 ** 31 }, /overlaps|compressed/],
    ["an entry that is not there", "data/shared", { local: 70 }, /overlaps|not where its directory says/],
    ["an entry beyond the end", "data/shared", { local: 2 ** 31 }, /beyond its end/],
    ["an encrypted entry", "data/shared", { flags: 1 }, /encrypted/],
    ["a compressed entry", "data/shared", { method: 8 }, /compressed/],
    ["a compressed pickle", "data.pkl", { method: 8 }, /compressed/],
  ])("is refused with %s", async (_what, name, lies, reason) => {
    await refused(zip(files().map((file) => (file.name.endsWith(name) ? { ...file, lies } : file))), reason);
  });

  it.each([
    [
      "a name that climbs out of its folder",
      [{ name: "../data.pkl", bytes: Buffer.from("x") }],
      /"\.\.\/data\.pkl"/,
    ],
    ["an absolute name", [{ name: "/etc/passwd", bytes: Buffer.from("x") }], /"\/etc\/passwd"/],
    ["no pickle", [{ name: "photos/one.jpg", bytes: Buffer.from("x") }], /not one of PyTorch/],
    [
      "two pickles",
      ["a", "b"].map((name) => ({ name: `${name}/data.pkl`, bytes: Buffer.from("x") })),
      /not one of PyTorch/,
    ],
    [
      "two entries of a name",
      ["x", "y"].map((text) => ({ name: "a/data.pkl", bytes: Buffer.from(text) })),
      /two entries/,
    ],
    [
      "a TorchScript program",
      ["data.pkl", "constants.pkl"].map((name) => ({ name: `a/${name}`, bytes: pickle(null).bytes })),
      /TorchScript/,
    ],
  ])("is refused with %s", async (_what, entries, reason) => {
    await refused(zip(entries), reason);
  });

  it("is refused where a storage is missing", async () => {
    await refused(zip(files().filter(({ name }) => !name.endsWith("shared"))), /storage shared are missing/);
  });
});

describe("the format before version 1.6", () => {
  it("knows storages that are a part of another", async () => {
    const part = new Storage("shared", "FloatStorage", bytesOf(counting), 4, 24, {
      key: "v",
      offset: 6,
      length: 6,
    });
    const file = await opened(torchLegacy({ ordered: [["w", new TorchTensor(part, [2, 3])]] }));
    expect(await valuesOf(file, "w")).toEqual([6, 7, 8, 9, 10, 11]);
  });

  it("is refused where bytes follow its last storage, and where it is another pickle", async () => {
    await refused(
      Buffer.concat([torchLegacy({ ordered: [["w", floats([1])]] }), Buffer.from("x")]),
      /1 bytes follow/,
    );
    await refused(pickle({ dictionary: [["w", 1]] }).bytes, /a pickle, but not a checkpoint of PyTorch/);
  });

  it("is read where its pickle is longer than the part that is read first", async () => {
    const text = "x".repeat(2 ** 19);
    const file = await opened(
      torchLegacy({
        dictionary: [
          ["notes", [text, text, text, text]],
          ["model", { ordered: [["w", floats([1, 2])]] }],
        ],
      }),
    );
    expect(await valuesOf(file, "w")).toEqual([1, 2]);
  });
});

describe("pickles that are made to do harm", () => {
  const ops = (...parts: (string | number | Buffer)[]) =>
    Buffer.concat([
      Buffer.from([0x80, 2]),
      ...parts.map((part) =>
        Buffer.isBuffer(part)
          ? part
          : typeof part === "string"
            ? Buffer.from(part, "latin1")
            : Buffer.from([part]),
      ),
    ]);
  const inZip = (bytes: Buffer) => zip([{ name: "a/data.pkl", bytes }]);

  it.each([
    ["without an end", ops("N".repeat(10)), /cut short/],
    ["with a value left over", ops("NN."), /middle of a value/],
    ["with an open mark", ops("(N."), /middle of a value/],
    ["that closes what it did not open", ops("t."), /did not open/],
    ["that takes from an empty stack", ops("0."), /did not open|there is none/],
    ["that refers to nothing", ops("h\x05."), /not there/],
    ["of protocol 0", ops("I1\n."), /instruction 0x49/],
    ["of protocol 9", Buffer.from([0x80, 9, 0x4e, 0x2e]), /protocol 9/],
    ["with an instance of a class", ops("(iposix\nsystem\n."), /instruction 0x69/],
    ["with an extension code", ops("\x82\x01."), /instruction 0x82/],
    ["that calls a number", ops("K\x01)R."), /no function/],
    ["with a text longer than any", ops("X\xff\xff\xff\x7f", "."), /text of 2147483647 bytes/],
    ["with a number longer than any", ops("\x8b\xff\xff\xff\x7f", "."), /number of 2147483647 bytes/],
    ["with text that is not UTF-8", ops("X\x01\x00\x00\x00\xff."), /not UTF-8/],
    ["that appends to a number", ops("K\x01Na."), /no list/],
    ["that sets an item of a list", ops("]NNs."), /no dictionary/],
    ["with attributes on a number", ops("K\x01}b."), /none/],
    ["with a storage that is none", ops("K\x01Q."), /storage/],
  ])("%s are refused", async (_what, bytes, reason) => {
    await refused(inZip(bytes), reason);
  });

  it("with a million marks, a list in itself, or tuples shared over and over, come to an end", async () => {
    await refused(inZip(ops("(".repeat(2 ** 21), ".")), /too deeply/);
    await refused(inZip(ops("]".repeat(2 ** 21), ".")), /more than/);
    await refused(inZip(ops("]q\x00h\x00a.")), /no tensors by name/);
    const inMany = ops(
      "}",
      "(",
      ...Array.from({ length: 20_000 }, (_, key) =>
        Buffer.concat([Buffer.from("M"), Buffer.from([key & 255, key >> 8]), Buffer.from("N")]),
      ),
      "u",
      "q\x00",
      "0",
      "](",
      "h\x00".repeat(20_000),
      "e.",
    );
    await refused(inZip(inMany), /no tensors by name/);
    const doubled = Array.from({ length: 200 }, () => "q\x000h\x00h\x00\x86").join("");
    await refused(inZip(ops("N", doubled, ".")), /no tensors by name/);
  });

  it("cannot reach JavaScript's own properties by the names of keys", async () => {
    const file = await opened(
      torchZip({
        dictionary: [
          ["__proto__", { dictionary: [["polluted", true]] }],
          [
            "model",
            {
              ordered: [
                ["__proto__", floats([1])],
                ["constructor", floats([2])],
              ],
            },
          ],
        ],
      }),
    );
    expect(file.names).toEqual(["__proto__", "constructor"]);
    expect(await valuesOf(file, "__proto__")).toEqual([1]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("sharded safetensors", () => {
  const index = (map: Record<string, string>) =>
    Buffer.from(JSON.stringify({ metadata: { total_size: 8 }, weight_map: map }));

  beforeEach(async () => {
    using a = Tensor.from(Float32Array.of(1, 2), [2]);
    using b = Tensor.from(Float32Array.of(3), [1]);
    await writeSafetensors(join(folder, "model-1.safetensors"), { a });
    await writeSafetensors(join(folder, "model-2.safetensors"), { b });
  });

  it("are one file, whose hash is that of the list of hashes", async () => {
    const file = await opened(
      index({ b: "model-2.safetensors", a: "model-1.safetensors" }),
      "model.safetensors.index.json",
    );
    expect([file.format, file.names, file.metadata]).toEqual([
      "sharded safetensors",
      ["b", "a"],
      { total_size: 8 },
    ]);
    expect([await valuesOf(file, "a"), await valuesOf(file, "b")]).toEqual([[1, 2], [3]]);
    expect(await file.sha256()).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each([
    ["a shard elsewhere", { a: "../model-1.safetensors" }, /leads to "\.\.\/model-1\.safetensors"/],
    ["a shard that is not there", { a: "model-9.safetensors" }, /not there/],
    ["a tensor that its shard lacks", { c: "model-1.safetensors" }, /has no tensor "c"/],
    ["no tensor", {}, /names no tensor/],
  ])("are refused with %s", async (_what, map, reason) => {
    await refused(index(map), reason);
  });

  it("are refused where the JSON is another", async () => {
    await refused(Buffer.from("{}"), /weight_map/);
    await refused(Buffer.from("{nope"), /begins as JSON, but is not/);
  });
});

describe("other files", () => {
  it.each([
    ["nothing", "", /it is empty/],
    ["text", "this is not a checkpoint\n", /text and begins with "this is not/],
    ["a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\n", /git lfs pull/],
    ["a web page", "<!DOCTYPE html><html>", /web page/],
    ["an archive compressed with gzip", "\x1f\x8b\x08\0\0\0", /gzip/],
    ["an HDF5 file", "\x89HDF\r\n\x1a\n", /HDF5/],
    ["anything else", "\x01\x02\x03\x04\x05\x06\x07\x08\x09", /bytes 0102030405060708/],
  ])("of %s are told what they are", async (_what, contents, reason) => {
    await refused(Buffer.from(contents, "latin1"), reason);
  });

  it("that are folders, or not there, are refused", async () => {
    await mkdir(join(folder, "folder.pth"));
    await expect(openCheckpoint(join(folder, "folder.pth"))).rejects.toThrow(
      /not a regular file but a folder/,
    );
    await expect(openCheckpoint(join(folder, "absent.pth"))).rejects.toMatchObject({
      code: "BAD_CHECKPOINT",
    });
  });

  it("are told by their contents, whatever their name", async () => {
    using a = Tensor.from(Float32Array.of(1, 2), [2]);
    await writeSafetensors(join(folder, "weights.pth.tar"), { a });
    expect((await openCheckpoint(join(folder, "weights.pth.tar"))).format).toBe("safetensors");
    const file = await opened(torchZip({ ordered: [["w", floats([1])]] }), "weights.safetensors");
    expect(file.format).toBe("PyTorch zip");
  });
});

describe("safetensors", () => {
  it.each([
    [0x80, "a pickle"],
    [0x50, "a zip"],
    [0x7b, "JSON"],
  ])("is told from other formats whatever its header's length begins with: %i, as %s does", async (first) => {
    const entry = '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}';
    const length = 256 + first;
    const header = `${entry}${" ".repeat(length - entry.length - 1)}}`;
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(length));
    const file = await opened(Buffer.concat([prefix, Buffer.from(header), bytesOf(Float32Array.of(3, 5))]));
    expect(file.format).toBe("safetensors");
    expect(await valuesOf(file, "w")).toEqual([3, 5]);
  });
});
