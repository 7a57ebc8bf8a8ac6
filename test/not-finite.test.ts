import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { countNotFinite, loadStored, type StoredTensor } from "../dist/native/stored-tensor.js";
import { Tensor } from "../dist/native/tensor.js";
import { temporaryFolder } from "./temporary-folder.js";

/** Bit patterns of each type, the first three of which are infinite, minus infinite and NaN, and how many bytes they have. */
const patterns = {
  float64: [8, [0x7ff0000000000000n, 0xfff0000000000000n, 0x7ff0000000000001n, 0x7fefffffffffffffn, 1n, 0n]],
  float32: [4, [0x7f800000n, 0xff800000n, 0x7f800001n, 0x7f7fffffn, 1n, 0x80000000n]],
  float16: [2, [0x7c00n, 0xfc00n, 0x7c01n, 0x7bffn, 1n, 0x8000n]],
  bfloat16: [2, [0x7f80n, 0xff80n, 0x7f81n, 0x7f7fn, 1n, 0x8000n]],
  float8_e5m2: [1, [0x7cn, 0xfcn, 0x7fn, 0x7bn, 1n, 0x80n]],
} as const;

describe("numbers that are not finite", () => {
  it.each(Object.keys(patterns) as (keyof typeof patterns)[])(
    "are counted in a file of %s, wherever they begin and however they lie",
    async (dtype) => {
      const [bytes, values] = patterns[dtype];
      // More than one block of what threads share out, and not a whole number of them.
      const count = 70_001;
      for (const [offset, littleEndian] of [
        [0, true],
        [3, true],
        [0, false],
      ] as const) {
        const file = Buffer.alloc(offset + count * bytes);
        for (let index = 0; index < count; index++) {
          const pattern = values[index % 1000 < 6 ? index % 1000 : 5] as bigint;
          for (let byte = 0; byte < bytes; byte++) {
            const place = littleEndian ? byte : bytes - 1 - byte;
            file[offset + index * bytes + place] = Number((pattern >> BigInt(8 * byte)) & 255n);
          }
        }
        const path = join(await temporaryFolder(), "tensor");
        writeFileSync(path, file);
        const stored: StoredTensor = { path, offset, dtype, shape: [count], strides: [1], littleEndian };
        expect(await countNotFinite(stored)).toBe(3 * 71 - 2); // of the last thousand there is one number only
        expect(await countNotFinite({ ...stored, shape: [70], strides: [1000] })).toBe(70);
        expect(await countNotFinite({ ...stored, shape: [0] })).toBe(0);
        using tensor = await loadStored(stored);
        expect(await tensor.countNotFinite()).toBe(3 * 71 - 2);
      }
    },
  );

  it("are none among whole numbers", async () => {
    const path = join(await temporaryFolder(), "tensor");
    writeFileSync(path, Buffer.alloc(80, 255));
    const stored = {
      path,
      offset: 0,
      dtype: "int64",
      shape: [10],
      strides: [1],
      littleEndian: true,
    } as const;
    expect(await countNotFinite(stored)).toBe(0);
    using tensor = Tensor.from(BigInt64Array.of(1n), [1]);
    await expect(tensor.countNotFinite()).rejects.toMatchObject({ code: "BAD_INPUT" });
  });

  it("are looked for only in what the file still holds", async () => {
    const path = join(await temporaryFolder(), "tensor");
    writeFileSync(path, Buffer.alloc(39));
    const stored = {
      path,
      offset: 0,
      dtype: "float32",
      shape: [10],
      strides: [1],
      littleEndian: true,
    } as const;
    await expect(countNotFinite(stored)).rejects.toMatchObject({ code: "BAD_CHECKPOINT" });
  });
});
