import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applyAffine } from "../dist/cohort/geometry.js";
import { type Image, orientation, readImage, reorient, spacing } from "../dist/cohort/image.js";
import { inspectImage } from "../dist/cohort/inspect-image.js";
import { imageFixtures } from "./images-fixtures.js";
import { shared, sharedMissing } from "./shared.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "transfer-limits-images-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const voxel = (image: Image, [i, j, k]: number[]) =>
  image.data[(k * image.shape[1] + j) * image.shape[2] + i] as number;
const sum = (data: Iterable<number>) => [...data].reduce((total, value) => total + value, 0);
const positionOf = (image: Image, [i, j, k]: number[]) => applyAffine(image.voxelToPatient, [k, j, i]);
function expectClose(found: readonly number[], wanted: readonly number[], tolerance: number): void {
  expect(found.length).toBe(wanted.length);
  for (const [index, value] of found.entries())
    expect(Math.abs(value - wanted[index]), `entry ${index}`).toBeLessThanOrEqual(tolerance);
}

describe("Small files of every format read as nibabel and SimpleITK read them", () => {
  test.each(imageFixtures)("$made", async (fixture) => {
    const path = join(folder, fixture.name);
    writeFileSync(path, Buffer.from(fixture.base64, "base64"));
    const image = await readImage(path, fixture.volume === undefined ? {} : { volume: fixture.volume });
    expect(image.shape).toEqual(fixture.shape);
    expectClose([...image.data.subarray(0, 4)], fixture.first, 1e-4);
    expectClose([image.data.at(-1) as number, sum(image.data)], [fixture.last, fixture.sum], 1e-3);
    expectClose(positionOf(image, [2, 1, 1]), fixture.position, 1e-6);
  });

  test("a file of several volumes that names none is refused, and one it does not have, too", async () => {
    const fixture = imageFixtures.find(({ name }) => name === "four-axes.mha");
    const path = join(folder, "volumes.mha");
    writeFileSync(path, Buffer.from(fixture?.base64 ?? "", "base64"));
    await expect(readImage(path)).rejects.toMatchObject({
      code: "BAD_IMAGE",
      message:
        `Cannot read the image ${path}: it holds 3 volumes and none is named; choose one, 0 to 2, by the option volume ` +
        "of readImage; a study takes files of one volume: store the one that is meant by itself",
    });
    await expect(readImage(path, { volume: 3 })).rejects.toThrow(
      "it has no volume 3: it holds 3, counted from 0",
    );
    await expect(readImage(path, { volume: -1 })).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});

// Recorded with nibabel 5.4.2 (NIfTI) and SimpleITK 2.5.7: a voxel (i, j, k), its value, its place, the sum of all.
const unusual = [
  {
    file: "big_endian.nii",
    format: "NIfTI-1",
    type: "int16",
    code: "LAS",
    at: [19, 20, 10],
    value: 10816,
    place: [6, 0, 4],
    total: 284166082,
  },
  {
    file: "header_extension.nii.gz",
    format: "NIfTI-1",
    type: "uint8",
    code: "LPI",
    at: [83, 95, 73],
    value: 1,
    place: [3, 15, 12],
    total: 1472871,
  },
  {
    file: "nifti2.nii.gz",
    format: "NIfTI-2",
    type: "int16",
    code: "LAS",
    volume: 0,
    at: [19, 10, 4],
    value: 398,
    place: [-79.8551, 17.40794, 4.6676],
    total: 3461748,
  },
  {
    file: "nifti2.nii.gz",
    format: "NIfTI-2",
    type: "int16",
    code: "LAS",
    volume: 1,
    at: [19, 10, 4],
    value: 412,
    place: [-79.8551, 17.40794, 4.6676],
    total: 3465054,
  },
  {
    file: "orientation_LPS.nii.gz",
    format: "NIfTI-1",
    type: "uint8",
    code: "LPS",
    at: [35, 39, 31],
    value: 64.96919644,
    place: [8.97603, 17.56214, 1.59854],
    total: 11398461.144353,
  },
  {
    file: "orientation_RAS.nii.gz",
    format: "NIfTI-1",
    type: "uint8",
    code: "RAS",
    at: [35, 39, 31],
    value: 92.55388319,
    place: [-7.72059, 17.56214, 1.59854],
    total: 11398461.144353,
  },
  {
    file: "orientation_PIR.nii.gz",
    format: "NIfTI-1",
    type: "uint8",
    code: "PIR",
    at: [42, 33, 30],
    value: 46.8213762,
    place: [4.20557, 24.7314, 6.33151],
    total: 11398461.144353,
  },
  {
    file: "orientation_SLA.nii.gz",
    format: "NIfTI-1",
    type: "uint8",
    code: "SLA",
    at: [36, 32, 37],
    value: 22.14034069,
    place: [1.82034, 22.34164, 13.43097],
    total: 11398461.144353,
  },
  {
    file: "small.mha",
    format: "MetaImage",
    type: "int16",
    code: "LPS",
    at: [31, 39, 30],
    value: -783,
    place: [-67.769, -42.438, -1282],
    total: -99576319,
  },
  {
    file: "compressed.nrrd",
    format: "NRRD",
    type: "int16",
    code: "LPS",
    at: [8, 5, 4],
    value: 1120,
    place: [8, 10, 12],
    total: 870540,
  },
  {
    file: "image10x10x10.mhd",
    format: "MetaImage",
    type: "float64",
    code: "LPS",
    at: [8, 5, 3],
    value: 0.988292893,
    place: [8, 5, 3],
    total: 514.3965973427,
  },
];

describe.skipIf(sharedMissing)(
  "Unusual files read right (needs the shared folder beside the checkout)",
  () => {
    const reads = (file: string) => shared("data", "odd", "reads", file);

    test.each(unusual)(
      "$file $volume",
      async ({ file, format, type, code, volume, at, value, place, total }) => {
        const image = await readImage(reads(file), volume === undefined ? {} : { volume });
        expect([image.format, image.storedType, orientation(image)]).toEqual([format, type, code]);
        expect(image.data.length).toBe(image.shape[0] * image.shape[1] * image.shape[2]);
        expect(voxel(image, at)).toBeCloseTo(value, 4);
        expectClose(positionOf(image, at), place, 1e-4);
        expect(Math.abs(sum(image.data) - total)).toBeLessThanOrEqual(1e-6 * Math.abs(total));
      },
    );

    test("one volume stored in four orientations is the same, voxel for voxel, once reoriented", async () => {
      const reference = await readImage(reads("orientation_LPS.nii.gz"));
      for (const code of ["RAS", "PIR", "SLA"]) {
        const stored = await readImage(reads(`orientation_${code}.nii.gz`));
        expect(Buffer.compare(Buffer.from(stored.data.buffer), Buffer.from(reference.data.buffer))).not.toBe(
          0,
        );
        const image = reorient(stored, "LPS");
        expect(image.shape).toEqual(reference.shape);
        expect(Buffer.compare(Buffer.from(image.data.buffer), Buffer.from(reference.data.buffer))).toBe(0);
        expectClose(image.voxelToPatient, reference.voxelToPatient, 1e-5);
      }
    });

    test("a T2W image of a real case has the oblique geometry that SimpleITK gives it", async () => {
      const image = await readImage(shared("data", "prostate", "11373_1001396", "t2w.mha"));
      expect(image.shape).toEqual([19, 384, 384]);
      expectClose(spacing(image), [3, 0.5, 0.5], 1e-7);
      expectClose(positionOf(image, [0, 0, 0]), [-57.685436736033, -82.363056885483, -27.080757354715], 1e-9);
      // Spacing times direction, by hand from SimpleITK's GetSpacing and GetDirection.
      expectClose(
        positionOf(image, [0, 0, 1]),
        [
          -57.685436736033 + 3 * 0.0012568636,
          -82.363056885483 + 3 * 0.317146579,
          -27.080757354715 + 3 * 0.9483757,
        ],
        1e-7,
      );
      expect(sum(image.data) / image.data.length).toBeCloseTo(221.72702615302904, 9);
    });

    test("a case's mask in NIfTI lies where its image in MetaImage lies", async () => {
      const folderOf = (file: string) => shared("data", "prostate", "10795_1000811", file);
      const [image, mask] = [await readImage(folderOf("t2w.mha")), await readImage(folderOf("gland.nii.gz"))];
      for (const corner of [
        [0, 0, 0],
        [383, 0, 0],
        [0, 383, 0],
        [383, 383, 18],
      ])
        expectClose(positionOf(mask, corner), positionOf(image, corner), 1e-3);
    });
  },
);

describe("Geometry", () => {
  const image: Image = {
    path: "made here",
    format: "NIfTI-1",
    storedType: "float32",
    shape: [2, 3, 4],
    data: Float32Array.from({ length: 24 }, (_, index) => index),
    // i to the right and a little to the back, j to the head, k to the front: RSA.
    voxelToPatient: [0, 0, -2, 10, -3, 0, 0.1, 20, 0, 1.5, 0, 30, 0, 0, 0, 1],
  };

  test("spacing counts along k, j, i, and the orientation names where i, j, k point", () => {
    expectClose(spacing(image), [3, 1.5, Math.hypot(2, 0.1)], 1e-12);
    expect(orientation(image)).toBe("RSA");
  });

  test("an oblique image has a code of three different axes even where one axis is nearest to two of them", () => {
    const c = Math.cos(Math.PI / 4);
    const turned = { voxelToPatient: [0, -c, c, 0, 0, c, c, 0, 1, 0, 0, 0, 0, 0, 0, 1] };
    const code = orientation(turned);
    expect(code[2]).toBe("S");
    expect(["LP", "PR"]).toContain(code.slice(0, 2));
  });

  test("reorienting to any of the 48 codes keeps every value at its place, and back again is the same image", () => {
    const axes = ["LR", "PA", "SI"];
    const orders = [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ];
    let count = 0;
    for (const order of orders)
      for (let signs = 0; signs < 8; signs++, count++) {
        const code = order.map((axis, place) => (axes[axis] as string)[(signs >> place) & 1]).join("");
        const turned = reorient(image, code);
        expect(orientation(turned)).toBe(code);
        const places = new Map<string, number>();
        for (const one of [image, turned])
          for (let k = 0; k < one.shape[0]; k++)
            for (let j = 0; j < one.shape[1]; j++)
              for (let i = 0; i < one.shape[2]; i++) {
                const key = positionOf(one, [i, j, k])
                  .map((value) => value.toFixed(6).replace("-0.000000", "0.000000"))
                  .join();
                if (one === image) places.set(key, voxel(one, [i, j, k]));
                else expect(places.get(key)).toBe(voxel(one, [i, j, k]));
              }
        const back = reorient(turned, "RSA");
        expect(back.data).toEqual(image.data);
        expectClose(back.voxelToPatient, image.voxelToPatient, 1e-12);
      }
    expect(count).toBe(48);
  });

  test.each(["LPX", "LRS", "LP", "lps", "LPSS"])("%s is not an orientation", (code) => {
    expect(() => reorient(image, code)).toThrow(/Expected three letters.*for code but received/);
  });
});

describe("Inspection", () => {
  test("says of a file of several volumes what each holds", async () => {
    const fixture = imageFixtures.find(({ name }) => name === "four-axes.mha");
    const path = join(folder, "inspected.mha");
    writeFileSync(path, Buffer.from(fixture?.base64 ?? "", "base64"));
    const found = await inspectImage(path);
    expect(found).toMatchObject({
      kind: "image",
      format: "MetaImage",
      storedType: "int16",
      shape: [2, 3, 4],
    });
    expect(found.volumes.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(found.volumes[1].mean).toBeCloseTo((fixture?.sum ?? Number.NaN) / 24, 9);
    expect(found.range).toEqual([
      Math.min(...found.volumes.map(({ range }) => range?.[0] ?? Number.NaN)),
      Math.max(...found.volumes.map(({ range }) => range?.[1] ?? Number.NaN)),
    ]);
    expect(found.warnings.join()).toContain("3 volumes");
    expect(JSON.parse(JSON.stringify(found))).toEqual(found);
  });

  test.skipIf(sharedMissing)("reports NaN voxels instead of refusing them", async () => {
    const found = await inspectImage(shared("data", "odd", "refused", "nan_voxels.nii"));
    // nibabel: 153 NaN; nanmin, nanmax, nanmean.
    expect(found).toMatchObject({
      nanVoxels: 153,
      infiniteVoxels: 0,
      shape: [3, 21, 17],
      storedType: "float32",
    });
    expectClose(found.range ?? [], [409.3004455566406, 13360.9619140625], 1e-9);
    expect(found.mean).toBeCloseTo(8442.21906172476, 6);
    expect(found.warnings.join()).toContain("153 voxels are NaN");
    expect(JSON.parse(JSON.stringify(found))).toEqual(found);
  });

  test.skipIf(sharedMissing)("refuses what cannot be read, as reading does", async () => {
    const path = shared("data", "odd", "refused", "complex_voxels.nii.gz");
    await expect(inspectImage(path)).rejects.toMatchObject({ code: "BAD_IMAGE" });
  });
});
