import { readFile, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { readSafetensors, writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { temporaryFolder } from "./temporary-folder.js";

/** A file's bytes from a header and data. */
function bytes(header: unknown, data = new Uint8Array(0)): Buffer {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([prefix, text, data]);
}

describe("safetensors files", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  it("give back tensors, names in order, and metadata", async () => {
    const path = `${await temporaryFolder()}/file.safetensors`;
    using first = Tensor.from(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
    using second = Tensor.from(Uint8Array.of(7, 8, 9), [3]);
    using third = Tensor.from(BigInt64Array.of(-1n), []);
    using empty = Tensor.from(new Float64Array(0), [0, 2]);
    await writeSafetensors(path, { "b.weight": first, a: second, c: third, empty }, { note: "é" });
    const file = await readSafetensors(path);
    expect([file.names, file.metadata]).toEqual([["b.weight", "a", "c", "empty"], { note: "é" }]);
    for (const [name, original] of Object.entries({ "b.weight": first, a: second, c: third, empty })) {
      using read = await file.tensor(name);
      expect([read.shape, read.dtype]).toEqual([original.shape, original.dtype]);
      expect(await read.toArray()).toEqual(await original.toArray());
    }
  });

  it("are little-endian with offsets from the end of the header, as the format's description has it", async () => {
    const path = `${await temporaryFolder()}/file.safetensors`;
    using one = Tensor.from(Float32Array.of(1), [1]);
    await writeSafetensors(path, { one });
    const contents = await readFile(path);
    const length = Number(contents.readBigUInt64LE());
    expect(JSON.parse(contents.subarray(8, 8 + length).toString()).one).toEqual({
      dtype: "F32",
      shape: [1],
      data_offsets: [0, 4],
    });
    expect(contents.readFloatLE(8 + length)).toBe(1);
  });

  it("of half precision are read as float32", async () => {
    const path = `${await temporaryFolder()}/half.safetensors`;
    const data = Buffer.alloc(8);
    data.writeUInt16LE(0x3e00, 0); // 1.5 as float16
    data.writeUInt16LE(0xc000, 2); // -2
    data.writeUInt16LE(0x3fc0, 4); // 1.5 as bfloat16
    data.writeUInt16LE(0x7f80, 6); // infinity
    await writeFile(
      path,
      bytes(
        {
          half: { dtype: "F16", shape: [2], data_offsets: [0, 4] },
          brain: { dtype: "BF16", shape: [2], data_offsets: [4, 8] },
        },
        data,
      ),
    );
    const file = await readSafetensors(path);
    using half = await file.tensor("half");
    using brain = await file.tensor("brain");
    expect([await half.toArray(), await brain.toArray()]).toEqual([
      Float32Array.of(1.5, -2),
      Float32Array.of(1.5, Number.POSITIVE_INFINITY),
    ]);
  });

  const entry = { dtype: "F32", shape: [1], data_offsets: [0, 4] };
  it.each([
    ["shorter than its length field", Buffer.from("abc"), /3 bytes, fewer than the 8/],
    [
      "a header longer than the file",
      Buffer.concat([Buffer.from([255, 0, 0, 0, 0, 0, 0, 0]), Buffer.from("{}")]),
      /claims 255 bytes/,
    ],
    [
      "a header of 2^63 bytes",
      Buffer.from([255, 255, 255, 255, 255, 255, 255, 127]),
      /claims 9223372036854776000 bytes/,
    ],
    ["no JSON", bytes("{nope"), /not JSON/],
    ["not an object", bytes([1]), /not a JSON object/],
    [
      "an offset past the end",
      bytes({ x: { ...entry, data_offsets: [0, 8], shape: [2] } }, new Uint8Array(4)),
      /0 to 8 of 4/,
    ],
    [
      "a shape that does not fit its offsets",
      bytes({ x: { ...entry, shape: [2] } }, new Uint8Array(4)),
      /needs 8 bytes/,
    ],
    [
      "a shape that overflows",
      bytes({ x: { ...entry, shape: [2 ** 52, 2 ** 52] } }, new Uint8Array(4)),
      /needs/,
    ],
    ["a negative size", bytes({ x: { ...entry, shape: [-1] } }, new Uint8Array(4)), /malformed/],
    ["an unknown type", bytes({ x: { ...entry, dtype: "F7" } }, new Uint8Array(4)), /malformed/],
    ["overlapping tensors", bytes({ x: entry, y: entry }, new Uint8Array(4)), /overlap/],
    ["bytes that belong to no tensor", bytes({ x: entry }, new Uint8Array(9)), /5 bytes belong to no tensor/],
    ["metadata that is no table of strings", bytes({ __metadata__: { a: 1 } }), /__metadata__/],
  ])("with %s are refused by name and reason", async (_what, contents, reason) => {
    const path = `${await temporaryFolder()}/bad.safetensors`;
    await writeFile(path, contents);
    const refused = expect(readSafetensors(path)).rejects;
    await refused.toMatchObject({ code: "BAD_CHECKPOINT" });
    await expect(readSafetensors(path)).rejects.toThrow(reason);
    await expect(readSafetensors(path)).rejects.toThrow(path);
  });

  it("that are no safetensors at all are refused with an error of ours, whatever their bytes", async () => {
    const path = `${await temporaryFolder()}/noise.safetensors`;
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (noise, prefixed) => {
        await writeFile(path, prefixed ? bytes(Buffer.from(noise).toString("latin1")) : noise);
        await expect(readSafetensors(path)).rejects.toMatchObject({ code: "BAD_CHECKPOINT" });
      }),
      { numRuns: 200 },
    );
  });

  it("that shrink after they were opened are an error, not a crash", async () => {
    const path = `${await temporaryFolder()}/shrinks.safetensors`;
    await writeFile(path, bytes({ x: entry }, new Uint8Array(4)));
    const file = await readSafetensors(path);
    await writeFile(path, "");
    await expect(file.tensor("x")).rejects.toThrow(/was truncated/);
  });

  it("are absent, not half written, when they cannot be written", async () => {
    using one = Tensor.from(Float32Array.of(1), [1]);
    const folder = await temporaryFolder();
    await expect(writeSafetensors(`${folder}/no/such/folder.safetensors`, { one })).rejects.toThrow(
      /cannot be opened/,
    );
  });
});
