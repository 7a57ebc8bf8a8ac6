import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Image, readImage } from "../dist/cohort/image.js";
import { inspectImage } from "../dist/cohort/inspect-image.js";
import { checkCovers } from "../dist/cohort/mask-coverage.js";
import { shared, sharedMissing } from "./shared.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "transfer-limits-refused-"));
  mkdirSync(join(folder, "inner"));
  write("voxels.raw", shorts);
});
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** The reason that reading the file is refused with, after the file's name. */
async function refusal(path: string): Promise<string> {
  const error = await readImage(path).then(
    () => expect.unreachable(`${path} was read`),
    (reason: unknown) => reason as Error & { code: string },
  );
  expect(error.code, String(error.stack)).toBe("BAD_IMAGE");
  const start = `Cannot read the image ${path}: `;
  expect(error.message.slice(0, start.length)).toBe(start);
  return error.message.slice(start.length);
}

interface Header {
  dims?: number[];
  datatype?: number;
  offset?: number;
  slope?: number;
  intercept?: number;
  magic?: string;
  units?: number;
  sform?: number[];
}

/** A NIfTI-1 header (348 bytes and 4 of "no extension") by the standard's offsets. */
function niftiHeader({
  dims = [3, 2, 3, 4],
  datatype = 16,
  offset = 352,
  slope = 0,
  intercept = 0,
  magic = "n+1",
  units = 2,
  sform,
}: Header = {}): Buffer {
  const header = Buffer.alloc(352);
  header.writeInt32LE(348, 0);
  for (const [index, length] of dims.entries()) header.writeInt16LE(length, 40 + 2 * index);
  header.writeInt16LE(datatype, 70);
  for (const index of [1, 2, 3]) header.writeFloatLE(1 + index, 76 + 4 * index);
  header.writeFloatLE(offset, 108);
  header.writeFloatLE(slope, 112);
  header.writeFloatLE(intercept, 116);
  header[123] = units;
  if (sform) {
    header.writeInt16LE(1, 254);
    for (const [index, value] of sform.entries()) header.writeFloatLE(value, 280 + 4 * index);
  }
  header.write(magic, 344, "latin1");
  return header;
}

const floats = (...values: number[]) => Buffer.from(Float32Array.from(values).buffer);
const counting = floats(...Array.from({ length: 24 }, (_, index) => index));

describe.skipIf(sharedMissing)("Files to be refused (needs the shared folder beside the checkout)", () => {
  test.each([
    ["empty.nii.gz", "the file is empty"],
    ["truncated.nii.gz", "it is truncated: the compressed data end early"],
    ["text.nii", "it is not an image of a known format"],
    ["header_only.nii", "it holds a header only"],
    ["complex_voxels.nii.gz", "its voxels are complex numbers (complex64)"],
    ["five_dimensional.mha", "it has 5 axes"],
    ["invalid_utf8.mhd", 'line 5 of its header is not "name = value" in plain text'],
    ["data_file_missing.mhd", 'its data file "not_there.zraw" cannot be read: there is no such file'],
    ["referring_to_system_file.mhd", 'it refers to "/trying/to/get/a/system/file.conf", which lies outside'],
    ["nan_voxels.nii", "153 of its 1,071 voxels are not finite numbers"],
  ])("%s", async (file, reason) => {
    expect(await refusal(shared("data", "odd", "refused", file))).toContain(reason);
  });

  test("a mask whose header puts it off its image is refused as a mask of its case, with numbers", async () => {
    const of = (file: string) => readImage(shared("data", "prostate", "11373_1001396", file));
    const mask = await readImage(shared("data", "odd", "refused", "mask_off_the_image_11373.nii.gz"));
    const [t2w, gland, zones, lesion] = [
      await of("t2w.mha"),
      await of("gland.nii.gz"),
      await of("zones.nii.gz"),
      await of("lesion.nii.gz"),
    ];
    // Its box is the image's, reversed along j; the share was found with nibabel: 29.88 % of 512 voxels in the gland.
    expect(() => checkCovers(mask, t2w)).toThrow(
      /mask_off_the_image_11373.*t2w\.mha mirrored.*the mask's j runs the other way/,
    );
    expect(() => checkCovers(mask, t2w, 0.5, gland)).toThrow(
      /mask_off_the_image_11373.*30 % of its 512 foreground voxels lie in the organ of .*gland.*expected at least 50 %/,
    );
    checkCovers(mask, t2w, 0.29, gland);
    for (const right of [gland, zones, lesion]) {
      checkCovers(right, t2w);
      checkCovers(right, t2w, 0.9, gland);
    }
  });

  test("every mask of the other cases covers its image", async () => {
    for (const [id, image, masks] of [
      ["10503_1000512", "t2w.nii.gz", ["gland", "lesion"]],
      ["10795_1000811", "t2w.mha", ["gland", "zones", "lesion"]],
    ] as const) {
      const t2w = await readImage(shared("data", "prostate", id, image));
      const gland = await readImage(shared("data", "prostate", id, "gland.nii.gz"));
      for (const mask of masks) {
        const read = await readImage(shared("data", "prostate", id, `${mask}.nii.gz`));
        checkCovers(read, t2w);
        checkCovers(read, t2w, 0.9, gland);
      }
    }
  });
});

describe("A NIfTI header is not believed", () => {
  test("the header made here reads, as the ground of the cases below", async () => {
    const path = write("good.nii", Buffer.concat([niftiHeader({ slope: 2, intercept: 1 }), counting]));
    const image = await readImage(path);
    expect(image.shape).toEqual([4, 3, 2]);
    expect(image.data[23]).toBe(47);
    // No sform and no qform: the spacing alone, and RAS becomes LPS.
    expect(image.voxelToPatient).toEqual([0, 0, -2, 0, 0, -3, 0, 0, 4, 0, 0, 0, 0, 0, 0, 1]);
  });

  test("metres and micrometres become millimetres", async () => {
    for (const [units, factor] of [
      [1, 1000],
      [3, 1e-3],
    ]) {
      const path = write(`units${units}.nii`, Buffer.concat([niftiHeader({ units }), counting]));
      expect((await readImage(path)).voxelToPatient[8]).toBeCloseTo(4 * factor, 9);
    }
  });

  test.each<[string, Header, string]>([
    ["two axes", { dims: [2, 4, 6] }, "its header gives 2 axes"],
    ["eight axes", { dims: [8, 2, 3, 4, 1, 1, 1, 1] }, "its header gives 8 axes"],
    ["a negative size", { dims: [3, 2, -3, 4] }, "its header gives a size of 2 x -3 x 4"],
    ["five axes that count", { dims: [5, 2, 3, 2, 1, 2] }, "it has 5 axes (2 x 3 x 2 x 1 x 2)"],
    [
      "more voxels than any scanner makes",
      { dims: [3, 32767, 32767, 32767] },
      "more than 134,217,728 voxels",
    ],
    [
      "more bytes than the file has",
      { dims: [3, 512, 512, 512] },
      "promises 536,870,912 bytes, but the file holds 96",
    ],
    ["an unknown type", { datatype: 77 }, "values of the unknown type 77"],
    ["colours", { datatype: 128 }, "its voxels are colours (RGB24)"],
    ["voxels inside the header", { offset: 16 }, "puts the voxels at byte 16, inside the header"],
    ["voxels at no place", { offset: Number.NaN }, "puts the voxels at byte NaN"],
    ["the mark of nothing", { magic: "xyz" }, "not its mark n+1"],
    ["axes in one plane", { sform: [1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0] }, "its axes do not span space"],
    ["axes of length zero", { sform: Array.from({ length: 12 }, () => 0) }, "its axes do not span space"],
    [
      "axes that are no numbers",
      { sform: [1, 0, 0, Number.NaN, 0, 1, 0, 0, 0, 0, 1, 0] },
      "not given by finite numbers",
    ],
  ])("%s", async (name, header, reason) => {
    const path = write(`${name.replaceAll(" ", "-")}.nii`, Buffer.concat([niftiHeader(header), counting]));
    expect(await refusal(path)).toContain(reason);
  });

  test("a file cut short anywhere is refused, compressed or not", async () => {
    const whole = Buffer.concat([niftiHeader(), counting]);
    const packed = gzipSync(whole);
    for (const kept of [1, 3, 200, 347, 352, 400, whole.length - 1])
      expect(await refusal(write("cut.nii", whole.subarray(0, kept)))).toMatch(
        /truncated|not an image of a known format/,
      );
    for (const kept of [1, 10, 30, packed.length - 9, packed.length - 1])
      expect(await refusal(write("cut.nii.gz", packed.subarray(0, kept)))).toMatch(
        /truncated|damaged|known format/,
      );
  });

  test("a compressed file with one wrong byte is refused by its checksum", async () => {
    const packed = gzipSync(Buffer.concat([niftiHeader(), counting]), { level: 0 });
    packed[packed.length - 20] ^= 1;
    expect(await refusal(write("wrong-byte.nii.gz", packed))).toContain("its compressed data are damaged");
  });

  test("a compressed file that inflates to far more than its header says is not inflated", async () => {
    const bomb = gzipSync(Buffer.concat([niftiHeader(), counting, Buffer.alloc(64 << 20)]));
    const path = write("bomb.nii.gz", bomb);
    expect(await refusal(path)).toContain("it goes on after the 448 bytes that its header promises");
  });

  test("a header whose extension has a negative length does not keep the reader busy", async () => {
    const header = niftiHeader({ offset: 368 });
    header[348] = 1;
    // Byte 352 leads 16 bytes back, byte 336 leads 16 bytes on.
    header.writeInt32LE(16, 336);
    const extension = Buffer.alloc(16);
    extension.writeInt32LE(-16, 0);
    const image = await readImage(write("loop.nii", Buffer.concat([header, extension, counting])));
    expect(image.data[5]).toBe(5);
  });

  test("a voxel that overflows float32 counts as not finite; inspection says so in JSON", async () => {
    const doubles = Buffer.from(
      Float64Array.from({ length: 24 }, (_, index) => (index === 3 ? 1e300 : index)).buffer,
    );
    const path = write("overflow.nii", Buffer.concat([niftiHeader({ datatype: 64 }), doubles]));
    expect(await refusal(path)).toContain("1 of its 24 voxels are not finite");
    const found = await inspectImage(path);
    expect(found).toMatchObject({ infiniteVoxels: 1, nanVoxels: 0, range: [0, 23] });
  });

  test("no file, a folder, and a file of nothing but NaN", async () => {
    expect(await refusal(join(folder, "not-there.nii"))).toBe("there is no such file");
    expect(await refusal(folder)).toBe("it is not a regular file");
    const path = write(
      "all-nan.nii",
      Buffer.concat([niftiHeader(), floats(...Array.from({ length: 24 }, () => Number.NaN))]),
    );
    expect(await inspectImage(path)).toMatchObject({ range: null, mean: null, nanVoxels: 24 });
  });
});

const shorts = Buffer.from(Int16Array.from({ length: 24 }, (_, index) => index).buffer);
const metaHeader = (dataFile: string, changes: Record<string, string | undefined> = {}) =>
  Object.entries({
    ObjectType: "Image",
    NDims: "3",
    BinaryData: "True",
    BinaryDataByteOrderMSB: "False",
    TransformMatrix: "1 0 0 0 1 0 0 0 1",
    Offset: "0 0 0",
    ElementSpacing: "1 2 3",
    DimSize: "2 3 4",
    ElementType: "MET_SHORT",
    ...changes,
    ElementDataFile: dataFile,
  })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} = ${value}\n`)
    .join("");

describe("A MetaImage header is not believed", () => {
  test("the header made here reads: attached, compressed, with its data in a file, in a folder, after a prefix, at the end", async () => {
    write("inner/voxels.raw", Buffer.concat([Buffer.alloc(7), shorts]));
    const packed = deflateSync(shorts);
    const paths = [
      write("attached.mha", Buffer.concat([Buffer.from(metaHeader("LOCAL")), shorts])),
      write(
        "packed.mha",
        Buffer.concat([
          Buffer.from(
            metaHeader("LOCAL", { CompressedData: "True", CompressedDataSize: `${packed.length}` }),
          ),
          packed,
        ]),
      ),
      write("apart.mhd", metaHeader("voxels.raw")),
      write("windows.mhd", metaHeader("voxels.raw").replaceAll("\n", "\r\n")),
      write("prefix.mhd", metaHeader("inner/voxels.raw", { HeaderSize: "7" })),
      write("end.mhd", metaHeader("inner/voxels.raw", { HeaderSize: "-1" })),
    ];
    for (const path of paths) {
      const image = await readImage(path);
      expect([...image.data], path).toEqual([...Array(24).keys()]);
      expect(image.voxelToPatient).toEqual([0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1]);
    }
  });

  test.each<[string, string, string | RegExp]>([
    ["an absolute path", metaHeader("/etc/hostname"), 'it refers to "/etc/hostname", which lies outside'],
    ["a way out", metaHeader("../secret.raw"), 'it refers to "../secret.raw", which lies outside'],
    ["a way out and in again", metaHeader("x/../../secret.raw"), "which lies outside"],
    ["the folder itself", metaHeader("."), "which lies outside"],
    ["a folder", metaHeader("inner"), "is not a regular file"],
    ["a list", `${metaHeader("LIST")}/etc/hostname\n`, "spread over several files"],
    ["a pattern", metaHeader("slice%03d.raw 1 4 1"), "spread over several files"],
    ["no name", metaHeader(""), "its header names no data file"],
    [
      "a size of text",
      metaHeader("voxels.raw", { DimSize: "2 3 x" }),
      "its header gives a size of 2 x 3 x NaN",
    ],
    [
      "too large a size",
      metaHeader("voxels.raw", { DimSize: "4000 4000 4000" }),
      "more than 134,217,728 voxels",
    ],
    [
      "more than the file has",
      metaHeader("voxels.raw", { DimSize: "200 300 400" }),
      "promises 48,000,000 bytes",
    ],
    ["two sizes", `DimSize = 2 3 4\n${metaHeader("voxels.raw")}`, /has the field DimSize twice/],
    ["no size", metaHeader("voxels.raw", { DimSize: undefined }), "its header lacks the field DimSize"],
    ["too few numbers", metaHeader("voxels.raw", { DimSize: "2 12" }), 'gives 3 axes but a size of "2 12"'],
    ["two axes", metaHeader("voxels.raw", { NDims: "2", DimSize: "4 6" }), "it has 2 axes"],
    ["an unknown type", metaHeader("voxels.raw", { ElementType: "MET_STRING" }), 'of the type "MET_STRING"'],
    ["voxels as text", metaHeader("voxels.raw", { BinaryData: "False" }), "its voxels are written as text"],
    [
      "no axes",
      metaHeader("voxels.raw", { TransformMatrix: "0 0 0 0 0 0 0 0 0" }),
      "expected axes of length 1 at right angles",
    ],
    [
      "axes of text",
      metaHeader("voxels.raw", { TransformMatrix: "1 0 0 0 1 0 0 0 a" }),
      "expected 9 numbers",
    ],
    [
      "a negative spacing",
      metaHeader("voxels.raw", { ElementSpacing: "1 -1 1" }),
      "expected 3 numbers above 0",
    ],
    [
      "too many compressed bytes",
      metaHeader("voxels.raw", { CompressedData: "True", CompressedDataSize: "900" }),
      "promises 900 compressed bytes, but 48 are there",
    ],
    [
      "compressed data that are not",
      metaHeader("voxels.raw", { CompressedData: "True" }),
      "its compressed data are damaged",
    ],
    ["neither true nor false", metaHeader("voxels.raw", { BinaryData: "Maybe" }), "expected True or False"],
    [
      "voxels to be scaled",
      metaHeader("voxels.raw", { ElementToIntensityFunctionSlope: "2" }),
      'its field ElementToIntensityFunctionSlope is "2", which readers take differently',
    ],
    [
      "two offsets that differ",
      metaHeader("voxels.raw", { Position: "1 0 0" }),
      "its fields Offset and Position mean the same but differ",
    ],
    [
      "an unknown unit",
      metaHeader("voxels.raw", { DistanceUnits: "inch" }),
      'its field DistanceUnits is "inch"; expected mm, cm or um',
    ],
    ["bytes before voxels that follow", metaHeader("LOCAL", { HeaderSize: "4" }), "remove the field"],
    [
      "a size in hexadecimal",
      metaHeader("voxels.raw", { HeaderSize: "0x10" }),
      "its field HeaderSize is NaN",
    ],
    ["a hexadecimal offset", metaHeader("voxels.raw", { Offset: "0x10 0 0" }), "expected 3 numbers"],
    ["a place beyond reach", metaHeader("voxels.raw", { Offset: "1e300 0 0" }), "within a kilometre"],
    ["no end", "ObjectType = Image\nNDims = 3\n", "ends without the field ElementDataFile"],
  ])("%s", async (name, header, reason) => {
    const path = write(`${name.replaceAll(" ", "-")}.mhd`, header);
    const found = await refusal(path);
    if (typeof reason === "string") expect(found).toContain(reason);
    else expect(found).toMatch(reason);
  });

  test("a data file that is a link to a place outside is not opened; one inside a wider root is", async () => {
    const outside = mkdtempSync(join(tmpdir(), "transfer-limits-outside-"));
    try {
      writeFileSync(join(outside, "voxels.raw"), shorts);
      symlinkSync(join(outside, "voxels.raw"), join(folder, "link.raw"));
      expect(await refusal(write("link.mhd", metaHeader("link.raw")))).toContain("which lies outside");
      const path = write("inner/up.mhd", metaHeader("../voxels.raw"));
      expect(await refusal(path)).toContain("which lies outside");
      expect((await readImage(path, { root: folder })).data[5]).toBe(5);
    } finally {
      rmSync(outside, { recursive: true });
    }
  });
});

const nrrdHeader = (changes: Record<string, string | undefined> = {}) =>
  `NRRD0004\n${Object.entries({
    type: "short",
    dimension: "3",
    space: "left-posterior-superior",
    sizes: "2 3 4",
    "space directions": "(1,0,0) (0,2,0) (0,0,3)",
    endian: "little",
    encoding: "raw",
    "space origin": "(0,0,0)",
    ...changes,
  })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join("")}\n`;

describe("An NRRD header is not believed", () => {
  test("the header made here reads: attached, compressed, with its data in a file, at its end", async () => {
    write("voxels.raw.gz", gzipSync(shorts));
    write("late.raw", Buffer.concat([Buffer.alloc(5), shorts]));
    const paths = [
      write("attached.nrrd", Buffer.concat([Buffer.from(nrrdHeader()), shorts])),
      write("packed.nrrd", Buffer.concat([Buffer.from(nrrdHeader({ encoding: "gzip" })), gzipSync(shorts)])),
      write("apart.nhdr", nrrdHeader({ "data file": "voxels.raw" }).trimEnd()),
      write("apart-packed.nhdr", nrrdHeader({ "data file": "voxels.raw.gz", encoding: "gz" })),
      write("late.nhdr", nrrdHeader({ "data file": "late.raw", "byte skip": "-1" })),
      write("later.nhdr", nrrdHeader({ "data file": "late.raw", "byte skip": "5" })),
    ];
    for (const path of paths) {
      const image = await readImage(path);
      expect([...image.data], path).toEqual([...Array(24).keys()]);
      expect(image.voxelToPatient).toEqual([0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1]);
    }
  });

  test.each<[string, string, string]>([
    ["an absolute path", nrrdHeader({ "data file": "/etc/hostname" }), "which lies outside"],
    ["a way out", nrrdHeader({ datafile: "../voxels.raw" }), "which lies outside"],
    [
      "a list",
      `${nrrdHeader({ "data file": "LIST" }).trimEnd()}\n/etc/hostname\n`,
      "spread over several files",
    ],
    ["a pattern", nrrdHeader({ "data file": "slice%02d.raw 1 4 1" }), "spread over several files"],
    ["a later version", nrrdHeader().replace("NRRD0004", "NRRD0009"), 'it begins with "NRRD0009"; expected'],
    ["bytes to skip in hexadecimal", nrrdHeader({ "byte skip": "0x10" }), "skips 0 lines and NaN bytes"],
    ["another encoding", nrrdHeader({ encoding: "bzip2" }), 'encoded as "bzip2"'],
    ["five axes", nrrdHeader({ dimension: "5", sizes: "2 3 4 1 1" }), "it has 5 axes"],
    ["a type of its own", nrrdHeader({ type: "block" }), 'of the type "block"'],
    [
      "complex voxels",
      nrrdHeader({ dimension: "4", sizes: "2 2 3 2", kinds: "complex domain domain domain" }),
      "complex numbers",
    ],
    ["another byte order", nrrdHeader({ endian: "middle" }), 'its field "endian" is "middle"'],
    ["no byte order", nrrdHeader({ endian: undefined }), 'lacks the field "endian"'],
    ["two sizes", nrrdHeader({}).replace("sizes:", "sizes: 1 1 1\nsizes:"), 'has the field "sizes" twice'],
    ["too large a size", nrrdHeader({ sizes: "9999 9999 9999" }), "more than 134,217,728 voxels"],
    ["truncated", nrrdHeader({ sizes: "2 3 40" }), "promises 480 bytes, but the file holds 48"],
    ["no end", "NRRD0004\ntype: short\n", "line 3 of its header is neither"],
    ["no field", "NRRD0004\nnothing here\n\n", 'line 2 of its header is neither "field: value"'],
  ])("%s", async (name, header, reason) => {
    const path = write(
      `nrrd-${name.replaceAll(" ", "-")}.nrrd`,
      Buffer.concat([Buffer.from(header), shorts]),
    );
    expect(await refusal(path)).toContain(reason);
  });
});

describe("A mask must lie on its image", () => {
  const image = (
    shape: [number, number, number],
    voxelToPatient: number[],
    fill: (index: number) => number,
    path: string,
  ): Image => ({
    path,
    format: "NIfTI-1",
    storedType: "uint8",
    shape,
    data: Float32Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, index) => fill(index)),
    voxelToPatient,
  });
  const identity = [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1];
  const shifted = (x: number) => identity.map((value, entry) => (entry === 3 ? x : value));
  const t2w = image([10, 10, 10], identity, () => 1, "t2w.nii");
  const full = (x: number) => image([10, 10, 10], shifted(x), () => 1, "mask.nii");
  const empty = (x: number) => image([10, 10, 10], shifted(x), () => 0, "mask.nii");

  test("by the share of its foreground inside the image: shifted by 3 of 10 voxels, 70 %", () => {
    checkCovers(full(3), t2w, 0.69);
    expect(() => checkCovers(full(3), t2w, 0.71)).toThrow(
      "Cannot read the image mask.nii: it does not lie on its image: 70 % of its 1000 foreground voxels lie inside t2w.nii, expected at least 71 %",
    );
    expect(() => checkCovers(full(60), t2w)).toThrow("0 % of its 1000 foreground voxels");
  });

  test("by the overlap of the boxes where it has no foreground: shifted by half, 50 %", () => {
    checkCovers(empty(5), t2w, 0.49);
    expect(() => checkCovers(empty(5), t2w, 0.51)).toThrow(
      "its box covers 50 % of t2w.nii, expected at least 51 %",
    );
    checkCovers(empty(0), t2w, 1);
  });

  test("turned by 45 degrees about z, an empty mask covers the octagon: 2 (sqrt 2 - 1) of the square", () => {
    const c = Math.SQRT1_2;
    // The same middle, (4.5, 4.5, 4.5).
    const x = 4.5 - c * 4.5 + c * 4.5;
    const y = 4.5 - c * 4.5 - c * 4.5;
    const turned = image(
      [10, 10, 10],
      [0, -c, c, x, 0, c, c, y, 1, 0, 0, 0, 0, 0, 0, 1],
      () => 0,
      "mask.nii",
    );
    const share = 2 * (Math.SQRT2 - 1);
    checkCovers(turned, t2w, share - 0.03);
    expect(() => checkCovers(turned, t2w, share + 0.03)).toThrow(/its box covers 8\d % of t2w.nii/);
  });

  test("mirrored on the image's own grid it is refused, unless an organ shows that its voxels are in place", () => {
    const mirrored = (lesionAt: number) => {
      const matrix = [...identity];
      matrix[2] = -1;
      matrix[3] = 9;
      return image([10, 10, 10], matrix, (index) => (index % 10 === lesionAt ? 1 : 0), "mask.nii");
    };
    const organ = image([10, 10, 10], identity, (index) => (index % 10 < 4 ? 1 : 0), "gland.nii");
    expect(() => checkCovers(mirrored(8), t2w)).toThrow(/mirrored: .* the mask's i runs the other way/);
    checkCovers(mirrored(8), t2w, 0.5, organ);
    expect(() => checkCovers(mirrored(2), t2w, 0.5, organ)).toThrow(
      /0 % of its 100 foreground voxels lie in the organ/,
    );
    // Turned by 180 degrees (two axes reversed), as RAS is against LPS: nothing to suspect.
    const turned = mirrored(8);
    turned.voxelToPatient[5] = -1;
    turned.voxelToPatient[7] = 9;
    checkCovers(turned, t2w);
  });
});
