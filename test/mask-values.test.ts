import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { MaskColumn, VolumeRole } from "../dist/cohort/columns.js";
import { type Image, readImage } from "../dist/cohort/image.js";
import { countMasks, masksInWords } from "../dist/cohort/mask-counts.js";
import { labelled } from "../dist/cohort/mask-values.js";
import { prepareCohort } from "../dist/cohort/preprocess.js";
import { prostateColumns } from "../dist/cohort/presets/prostate.js";
import { foregroundAbove } from "../dist/common/foreground.js";
import { addon } from "../dist/native/load-addon.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { shared, sharedMissing } from "./shared.js";

/** A mask of 10 x 10 x 10 voxels that holds these values, one voxel each, and 0 elsewhere. */
const maskOf = (...values: number[]): Image => {
  const data = new Float32Array(1000);
  data.set(values, 500);
  return {
    path: "mask.nii",
    format: "NIfTI-1",
    storedType: "float32",
    shape: [10, 10, 10],
    data,
    voxelToPatient: [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1],
  };
};
type Role = keyof typeof prostateColumns.masks | null;
const columnOf = (role: Role): MaskColumn | null => (role === null ? null : prostateColumns.masks[role]);
const taken = async (image: Image, role: Role) => {
  const { image: mask, graded } = await labelled(image, columnOf(role));
  return { values: [...mask.data.slice(500, 508)], graded };
};
const refused = (image: Image, role: Role) =>
  labelled(image, columnOf(role)).then(
    () => "taken",
    (error: Error & { code: string }) => `${error.code}: ${error.message}`,
  );

describe("the values of a mask", () => {
  it("are foreground above one half, in C++ as in TypeScript", () => {
    expect(foregroundAbove).toBe(0.5);
    expect(addon().foregroundAbove).toBe(foregroundAbove);
  });

  it("that lie within a thousandth of whole numbers are rounded", async () => {
    const image = maskOf(0.99999, 1, 1.00001, 1.001, 2.9995, -0.0004, 0.0007);
    expect(await taken(image, "zones")).toEqual({
      values: [1, 1, 1, 1, 3, 0, 0, 0],
      graded: false,
    });
    expect(await taken(image, "lesion")).toEqual({ values: [1, 1, 1, 1, 1, 0, 0, 0], graded: false });
  });

  it("that are labels are all foreground where one foreground is meant, whichever they are", async () => {
    expect((await taken(maskOf(1, 2, 3, 4, 5), "lesion")).values).toEqual([1, 1, 1, 1, 1, 0, 0, 0]);
    expect((await taken(maskOf(255, 255), "gland")).values).toEqual([1, 1, 0, 0, 0, 0, 0, 0]);
    expect((await taken(maskOf(1, 2), "gland")).values).toEqual([1, 1, 0, 0, 0, 0, 0, 0]);
    expect((await taken(maskOf(), "rectum")).values).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it("that linear resampling left between 0 and 1 are divided at one half, and told of", async () => {
    const image = maskOf(0.1, 0.5, 0.50001, 0.9, 1);
    for (const role of ["lesion", "gland", "rectum", null] as const)
      expect(await taken(image, role)).toEqual({ values: [0, 0, 1, 1, 1, 0, 0, 0], graded: true });
    expect((await taken(maskOf(0.2, 0.6), "lesion")).values.slice(0, 2)).toEqual([0, 1]); // a lesion of less than a voxel
  });

  it("that resampling by a whole factor or several readers leave equally spaced are taken, and grades are spoken of", async () => {
    // Linear resampling to half the voxel size leaves eighths about a lesion, five readers leave fifths: no rule can tell
    // these from grades that were divided, so that the person is told.
    expect((await taken(maskOf(0.125, 0.25, 0.5, 0.75, 1), "lesion")).values).toEqual([
      0, 0, 0, 1, 1, 0, 0, 0,
    ]);
    expect((await taken(maskOf(0.2, 0.4, 0.6, 0.8, 1), "lesion")).graded).toBe(true);
    const [words] = masksInWords([{ role: "lesion", cases: 9, empty: 0, graded: 3 }]);
    expect(words).toMatch(/^3 of 9 lesion masks hold values between 0 and 1/);
    expect(words).toContain("Grades that were divided (1/5 to 5/5) belong in the file as whole numbers");
  });

  it.each([
    ["a slope of 1/255", maskOf(1 / 255, 1 / 255), "0 and 0.0039: scaled?"],
    ["a slope of 1/65535, which a tolerance would take for 0", maskOf(1 / 65535), "0 and 0.000015: scaled?"],
    ["a slope that leaves one number above one half", maskOf(0.8, 0.8, 0.8), "0 and 0.8: scaled?"],
    ["grades 1 to 5 divided by 255", maskOf(...[1, 2, 3, 4, 5].map((v) => v / 255)), "0.02: scaled?"],
  ])("that a factor has made small are refused with some of them: %s", async (_, image, words) => {
    for (const role of ["lesion", "zones", null] as const) {
      expect(await refused(image, role)).toContain("BAD_IMAGE: Cannot read the image mask.nii");
      expect(await refused(image, role)).toContain(words);
      expect(await refused(image, role)).toContain("slope");
    }
  });

  it("of several labels that were resampled linearly are refused, for zones and for one foreground", async () => {
    expect(await refused(maskOf(0.3, 1.7, 2), "lesion")).toContain("0, 0.3, 1.7 and 2");
    expect(await refused(maskOf(0.3, 1.7, 2), "zones")).toContain(
      "resample its labels by the nearest neighbour",
    );
    expect(await refused(maskOf(0.3, 0.7, 1), "zones")).toContain("Zones are several labels");
  });

  it("that are an image's are refused: grey levels, intensities in [0, 1], negative ones", async () => {
    const image = maskOf();
    const grey = { ...image, data: image.data.map((_, voxel) => (voxel * 7919) % 811) };
    const scaled = { ...image, data: image.data.map((_, voxel) => ((voxel * 7919) % 811) / 810) };
    for (const role of ["gland", "zones", "lesion", "rectum", null] as const) {
      expect(await refused(grey, role)).toMatch(/many or too high for labels.*An image/);
      expect(await refused(scaled, role)).toContain("An image in place of the mask?");
      expect(await refused(maskOf(-1, 1), role)).toContain("-1");
    }
    expect(await refused(maskOf(13, 128, 255), "lesion")).toContain("0 to 255 that was resampled linearly?");
  });

  it("leave no tensor alive, whether they are taken or refused", async () => {
    const before = Tensor.live;
    await taken(maskOf(0.3, 1), null);
    await refused(maskOf(0.3, 7), "gland");
    expect(Tensor.live).toBe(before);
  });
});

describe.skipIf(sharedMissing)("masks as other programs leave them", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "mask-values-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  const file = (name: string) => shared("cases", "masks", name);

  /** What a case of T2W and these masks is prepared to. */
  const prepare = async (volumes: Partial<Record<VolumeRole, string>>, masks: "label-linear" | "nearest") => {
    const all = { t2w: file("t2w.nii.gz"), ...volumes };
    const { cases, excluded } = await prepareCohort(
      {
        path: join(folder, "manifest.csv"),
        columns: [],
        cases: [{ id: "one", patient: "one", labels: {}, extra: {}, line: 2, volumes: all }],
      },
      // Voxels of another size, so that masks are really voted on.
      { voxels: [40, 44, 24], crop: { around: "centre", fieldOfView: "whole" }, masks },
      { cache: await mkdtemp(join(folder, "cache-")) },
    );
    return { prepared: cases[0], reason: excluded[0]?.reason };
  };
  const maskFrom = async (role: VolumeRole, path: string, masks: "label-linear" | "nearest") => {
    const { prepared, reason } = await prepare({ [role]: path }, masks);
    if (!prepared) throw new Error(reason);
    using tensor = await (await readSafetensors(prepared.file)).tensor(role);
    return (await tensor.toArray()) as Float32Array;
  };
  /** A mask with its values changed, as an MHA on the same grid. */
  const rewritten = async (name: string, value: (stored: number) => number): Promise<string> => {
    const { data, shape, voxelToPatient: m } = await readImage(file(name));
    const column = (axis: number) => [0, 1, 2].map((row) => m[4 * row + axis] as number);
    const steps = [column(2), column(1), column(0)]; // of i, j, k
    const spacing = steps.map((step) => Math.hypot(...step));
    const directions = steps.flatMap((step, axis) => step.map((part) => part / (spacing[axis] as number)));
    const header = [
      "ObjectType = Image",
      "NDims = 3",
      "BinaryData = True",
      "BinaryDataByteOrderMSB = False",
      "CompressedData = False",
      `TransformMatrix = ${directions.join(" ")}`,
      `Offset = ${column(3).join(" ")}`,
      `ElementSpacing = ${spacing.join(" ")}`,
      `DimSize = ${[...shape].reverse().join(" ")}`,
      "ElementType = MET_FLOAT",
      "ElementDataFile = LOCAL\n",
    ];
    const path = join(await mkdtemp(join(folder, "mask-")), "mask.mha");
    await writeFile(
      path,
      Buffer.concat([Buffer.from(header.join("\n")), Buffer.from(data.map(value).buffer)]),
    );
    return path;
  };

  it.each(["label-linear", "nearest"] as const)(
    "a lesion resampled linearly gives what it gives divided at one half before (%s)",
    async (masks) => {
      const linear = await maskFrom("lesion", file("lesion_linear.nii.gz"), masks);
      expect(linear.some((value) => value === 1)).toBe(true);
      expect(linear).toEqual(await maskFrom("lesion", file("lesion_linear_bin.nii.gz"), masks));
    },
  );

  it("a gland resampled linearly gives what it gives divided at one half before", async () => {
    const divided = await rewritten("gland_linear.nii.gz", (value) => (value > 0.5 ? 1 : 0));
    expect(await maskFrom("gland", file("gland_linear.nii.gz"), "label-linear")).toEqual(
      await maskFrom("gland", divided, "label-linear"),
    );
  });

  it("a lesion of two grades keeps every voxel where they meet", async () => {
    const graded = await maskFrom("lesion", file("lesion_graded.nii.gz"), "label-linear");
    const binary = await rewritten("lesion_graded.nii.gz", (value) => (value > 0 ? 1 : 0));
    expect(graded).toEqual(await maskFrom("lesion", binary, "label-linear"));
  });

  it("labels that arithmetic has moved by a hundred-thousandth vote as one", async () => {
    let turn = 0;
    const moved = await rewritten(
      "lesion_ref.nii.gz",
      (value) => value + [-1e-5, 0, 1e-5][turn++ % 3] * value,
    );
    expect(await maskFrom("lesion", moved, "label-linear")).toEqual(
      await maskFrom("lesion", file("lesion_ref.nii.gz"), "label-linear"),
    );
  });

  it("a lesion stored as 0 and 1/255 leaves its case out, with the values and the cure", async () => {
    const { prepared, reason } = await prepare(
      { lesion: file("lesion_stored_as_1_255.nii") },
      "label-linear",
    );
    expect(prepared).toBeUndefined();
    expect(reason).toMatch(/lesion_stored_as_1_255\.nii: .*0 and 0\.0039: scaled\?.*slope/);
  });

  it.each(["gland", "lesion", "rectum", "zones"] as const)(
    "T2W given as %s leaves its case out",
    async (role) => {
      const { reason } = await prepare({ [role]: file("t2w.nii.gz") }, "label-linear");
      expect(reason).toMatch(/t2w\.nii\.gz: it is taken for a mask, but its values are no labels: .*\d/);
    },
  );

  it("are counted: how many show nothing in the crop, and how many were graded", async () => {
    const empty = await rewritten("lesion_ref.nii.gz", () => 0);
    const gland = file("gland_linear.nii.gz");
    const prepared = [
      (await prepare({ gland, lesion: empty }, "label-linear")).prepared,
      (await prepare({ gland, lesion: file("lesion_ref.nii.gz") }, "label-linear")).prepared,
    ].flatMap((one) => one ?? []);
    const counts = countMasks([...prepared, ...prepared]);
    expect(counts).toEqual([
      { role: "gland", cases: 2, empty: 0, graded: 2 },
      { role: "lesion", cases: 2, empty: 1, graded: 0 },
    ]);
    expect(masksInWords(counts)).toEqual([
      expect.stringMatching(/^2 of 2 gland masks hold values between 0 and 1/),
      "1 of 2 lesion masks shows nothing in the crop.",
    ]);
  });
});
