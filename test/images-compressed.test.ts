import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { openImage } from "../dist/cohort/formats/open-image.js";
import { readImage } from "../dist/cohort/image.js";
import { locateLibTorch } from "../dist/native/libtorch.js";

// A .nii.gz is decompressed and converted at once where that is possible, and read patiently, chunk by chunk through
// Node's zlib, where it is not. Each is held against the other here.
const hasLibdeflate = locateLibTorch().found?.libraries.some((path) => /\/libdeflate[^/]*$/.test(path));
const folder = mkdtempSync(join(tmpdir(), "transfer-limits-compressed-"));
afterAll(() => rmSync(folder, { recursive: true }));
const [width, height, depth] = [24, 20, 10];
const voxels = width * height * depth;

const types = {
  uint8: [2, Uint8Array],
  int16: [4, Int16Array],
  int32: [8, Int32Array],
  float32: [16, Float32Array],
  float64: [64, Float64Array],
  int8: [256, Int8Array],
  uint16: [512, Uint16Array],
  uint32: [768, Uint32Array],
  int64: [1024, BigInt64Array],
  uint64: [1280, BigUint64Array],
} as const;
type Type = keyof typeof types;

/** A NIfTI-1 file whose voxels are any whole numbers, or floats of many sizes: nothing that compresses well. */
function nifti(type: Type, { slope = 0, intercept = 0, offset = 352, volumes = 1 } = {}): Buffer {
  const [code, view] = types[type];
  const header = Buffer.alloc(offset);
  header.writeInt32LE(348, 0);
  for (const [index, length] of [4, width, height, depth, volumes].entries())
    header.writeInt16LE(length, 40 + 2 * index);
  header.writeInt16LE(code, 70);
  for (const index of [1, 2, 3]) header.writeFloatLE(index, 76 + 4 * index);
  header.writeFloatLE(offset, 108);
  header.writeFloatLE(slope, 112);
  header.writeFloatLE(intercept, 116);
  header.write("n+1", 344, "latin1");
  const count = voxels * volumes;
  const bytes = Buffer.alloc(count * view.BYTES_PER_ELEMENT);
  if (type.startsWith("float")) {
    const numbers = Array.from({ length: count }, (_, index) => Math.sin(index) * 10 ** ((index % 9) - 4));
    bytes.set(new Uint8Array((view as Float32ArrayConstructor).from(numbers).buffer));
  } else for (let at = 0; at < bytes.length; at++) bytes[at] = Math.imul(at + 1, 0x9e3779b1) >>> 24;
  return Buffer.concat([header, bytes]);
}

function write(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** What the quick and the patient way make of a file; null for a quick way that leads nowhere. */
async function bothWays(path: string): Promise<{ quick: number[] | null; patient: number[] | string }> {
  const opened = await openImage(path);
  const patiently = async () => {
    for await (const { data } of opened.readVolumes(() => true)) return [...data];
    return "nothing";
  };
  const patient = await patiently().catch((error: Error) => error.message);
  const quick = (await opened.readQuickly?.()) ?? null;
  return { quick: quick && [...quick.data], patient };
}

describe("reading a file at once", () => {
  it.skipIf(!hasLibdeflate).each(Object.keys(types) as Type[])(
    "gives of %s the same bits as reading it in chunks, compressed or not, scaled or not, at any byte",
    async (type) => {
      for (const options of [{}, { slope: -0.37, intercept: 11 }, { offset: 357 }, { slope: 3 }]) {
        const bytes = nifti(type, options);
        for (const [name, content] of [
          ["whole.nii", bytes],
          ["whole.nii.gz", gzipSync(bytes)],
        ] as const) {
          const { quick, patient } = await bothWays(write(name, content));
          expect(quick).toEqual(patient);
        }
      }
    },
  );

  it("keeps zeros below zero where nothing is scaled", async () => {
    const bytes = nifti("float32");
    bytes.writeFloatLE(-0, 352);
    const { data } = await readImage(write("zero.nii.gz", gzipSync(bytes)));
    expect(Object.is(data[0], -0)).toBe(true);
  });

  it.skipIf(!hasLibdeflate)("joins the members of a gzip file, empty ones too", async () => {
    const bytes = nifti("int16");
    const parts = [bytes.subarray(0, 100), bytes.subarray(100, 400), Buffer.alloc(0), bytes.subarray(400)];
    const path = write("members.nii.gz", Buffer.concat(parts.map((part) => gzipSync(part))));
    const { quick, patient } = await bothWays(path);
    expect(quick).toHaveLength(voxels);
    expect(quick).toEqual(patient);
  });

  it("leaves it to the patient way to judge what follows the members", async () => {
    const packed = gzipSync(nifti("int16"));
    const followedBy = (tail: Buffer) => bothWays(write("tail.nii.gz", Buffer.concat([packed, tail])));
    const zeros = await followedBy(Buffer.alloc(512));
    expect(zeros.quick).toBeNull();
    expect(zeros.patient).toHaveLength(voxels);
    expect((await readImage(join(folder, "tail.nii.gz"))).data).toHaveLength(voxels);

    const garbage = await followedBy(Buffer.from("garbage"));
    expect(garbage.quick).toBeNull();
    expect(garbage.patient).toContain("its compressed data are damaged");
    await expect(readImage(join(folder, "tail.nii.gz"))).rejects.toThrow("its compressed data are damaged");
  });

  it("reads a file with padding after its voxels, by the patient way", async () => {
    const bytes = Buffer.concat([nifti("int16"), Buffer.alloc(1000)]);
    for (const [name, content] of [
      ["padded.nii", bytes],
      ["padded.nii.gz", gzipSync(bytes)],
    ] as const) {
      const { quick, patient } = await bothWays(write(name, content));
      expect(quick).toBeNull();
      expect(patient).toHaveLength(voxels);
    }
  });

  it("counts voxels that are not finite, also those that scaling made so", async () => {
    const bytes = nifti("float32");
    for (const [at, value] of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].entries())
      bytes.writeFloatLE(value, 352 + 4 * at);
    for (const name of ["nan.nii", "nan.nii.gz"]) {
      const content = name.endsWith("gz") ? gzipSync(bytes) : bytes;
      await expect(readImage(write(name, content))).rejects.toThrow("3 of its 4,800 voxels are not finite");
    }
    const large = nifti("float64", { slope: 2e38 });
    for (let voxel = 0; voxel < voxels; voxel++) large.writeDoubleLE(voxel < 7 ? 10 : 1e-3, 352 + 8 * voxel);
    await expect(readImage(write("large.nii.gz", gzipSync(large)))).rejects.toThrow("7 of its 4,800 voxels");
  });
});

describe("a damaged .nii.gz", () => {
  const packed = gzipSync(nifti("int16"), { level: 9 });
  const changed = (at: number) => {
    const copy = Buffer.from(packed);
    copy[at] = (copy[at] as number) ^ 1;
    return copy;
  };

  it.each([
    ["its checksum", packed.length - 8, /its compressed data are damaged \(incorrect data check\)/],
    ["its length", packed.length - 4, /its compressed data are damaged \(incorrect length check\)/],
  ])("is refused where %s is another", async (_, at, reason) => {
    const path = write("changed.nii.gz", changed(at));
    expect((await bothWays(path)).quick).toBeNull();
    await expect(readImage(path)).rejects.toMatchObject({
      code: "BAD_IMAGE",
      message: expect.stringMatching(reason),
    });
  });

  it("is refused wherever it is cut off", async () => {
    for (let length = 20; length < packed.length; length += 97) {
      const error = await readImage(write("cut.nii.gz", packed.subarray(0, length))).catch((e) => e);
      expect(error).toMatchObject({
        code: "BAD_IMAGE",
        message: expect.stringMatching(/truncated|known format/),
      });
    }
  });

  it("is refused with a message or read alike whichever bit is another", async () => {
    for (let at = 0; at < packed.length; at += 41) {
      const path = write("bit.nii.gz", changed(at));
      const opened = await openImage(path).catch((error: Error) => error);
      if (opened instanceof Error) continue;
      const { quick, patient } = await bothWays(path);
      if (quick !== null) expect(quick).toEqual(patient);
    }
  });

  it("takes no memory for a header that promises much, or a file that holds much more than its header says", async () => {
    const claims = nifti("int16");
    for (const index of [1, 2, 3]) claims.writeInt16LE(400, 40 + 2 * index);
    await expect(readImage(write("claims.nii.gz", gzipSync(claims)))).rejects.toThrow("its header promises");

    const late = nifti("int16");
    late.writeFloatLE(2 ** 50, 108);
    await expect(readImage(write("late.nii.gz", gzipSync(late)))).rejects.toThrow(
      "its header promises 1,125,899,906,852,224 bytes",
    );

    const opened = await openImage(
      write("stuffed.nii.gz", Buffer.concat([gzipSync(nifti("int16")), Buffer.alloc(1 << 20, 7)])),
    );
    expect(await opened.readQuickly?.()).toBeNull();
  });
});

describe("a file of several volumes", () => {
  it("is read one volume at a time", async () => {
    const bytes = nifti("uint8", { volumes: 3 });
    const path = write("several.nii.gz", gzipSync(bytes));
    expect((await openImage(path)).readQuickly).toBeUndefined();
    const { data } = await readImage(path, { volume: 2 });
    expect([...data]).toEqual([...bytes.subarray(352 + 2 * voxels)]);
  });
});
