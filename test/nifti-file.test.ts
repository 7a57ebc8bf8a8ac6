import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { niftiFile } from "../dist/cohort/formats/nifti-file.js";
import { readImage } from "../dist/cohort/image.js";

const folder = mkdtempSync(join(tmpdir(), "transfer-limits-nifti-file-"));
afterAll(() => rmSync(folder, { recursive: true }));

// i to the left and a little to the back, j to the front, k to the head.
const voxelToPatient = [0, 0, 2, -10.5, 0, -1.5, 0.25, 20, 3, 0, 0, 30];

test.each([
  ["int16", Int16Array.from({ length: 24 }, (_, voxel) => voxel - 1000), 4, 16],
  ["uint8", Uint8Array.from({ length: 24 }, (_, voxel) => voxel), 2, 8],
] as const)(
  "an image of %s is read as it was written, where it was written",
  async (type, data, code, bits) => {
    const bytes = niftiFile([4, 3, 2], voxelToPatient, data);
    // By the offsets of the standard; RAS, so that x and y have the other sign.
    expect(bytes.length).toBe(352 + data.byteLength);
    expect([bytes.readInt16LE(70), bytes.readInt16LE(72)]).toEqual([code, bits]);
    expect([40, 42, 44, 46, 48].map((at) => bytes.readInt16LE(at))).toEqual([3, 2, 3, 4, 1]);
    expect(bytes.readFloatLE(80)).toBeCloseTo(Math.hypot(2, 0.25), 6);
    expect([bytes.readFloatLE(84), bytes.readFloatLE(88), bytes[123]]).toEqual([1.5, 3, 2]);
    expect(Array.from({ length: 12 }, (_, at) => bytes.readFloatLE(280 + 4 * at))).toEqual(
      [-2, 0, 0, 10.5, -0.25, 1.5, 0, -20, 0, 0, 3, 30].map((value) =>
        value === 0 ? expect.closeTo(0, 12) : value,
      ),
    );

    const path = join(folder, `${type}.nii.gz`);
    writeFileSync(path, gzipSync(bytes));
    const image = await readImage(path);
    expect(image).toMatchObject({ format: "NIfTI-1", storedType: type, shape: [4, 3, 2] });
    expect([...image.data]).toEqual([...data]);
    expect(image.voxelToPatient).toEqual([...voxelToPatient, 0, 0, 0, 1]);
  },
);
