import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { niftiFile } from "../../cohort/formats/nifti-file.js";
import { type Image, readImage } from "../../cohort/image.js";
import { productOf } from "../../common/numbers.js";
import { Tensor } from "../../native/tensor.js";
import { alternate } from "../alternate.js";
import type { BenchCase } from "../case.js";
import { hashFill } from "../hash-fill.js";
import { sample } from "../timing.js";

const compress = promisify(gzip);

export const reading: BenchCase = {
  name: "reading",
  summary: "a .nii.gz of 24x384x384 int16 as a tensor",
  measure: async (settings) => {
    const shape = settings.quick ? [6, 20, 24] : [24, 384, 384];
    const path = join(settings.folder, "bench.nii.gz");
    const bytes = await writeScan(path, shape);
    return alternate(
      {
        name: "reading",
        title: `reading .nii.gz to a tensor, ${shape.join("x")} int16, ${(bytes / 1e6).toFixed(1)} MB`,
        work: "reading",
        options: { path },
        ours: async () => {
          let image: Image | null = null;
          let tensor: Tensor | null = null;
          return {
            run: async () => {
              tensor?.dispose();
              image = await readImage(path);
              tensor = Tensor.sharing(image.data, image.shape, settings.device);
            },
            answer: async () => sample(image?.data ?? []),
            [Symbol.dispose]: () => tensor?.dispose(),
          };
        },
        peers: [{ peer: "nibabel + NumPy", group: "nibabel + NumPy", atLeast: 2 }],
        floor: { operations: 0, bytes: bytes + 4 * productOf(shape) },
        tolerance: 1e-7,
      },
      settings,
    );
  },
};

/**
 * Writes what a scanner might: smooth tissue in whole numbers, with noise in the last bits, which compresses about as
 * little as real T2W images do. Answers the size of the file.
 */
async function writeScan(path: string, shape: readonly number[]): Promise<number> {
  const [depth = 1, height = 1, width = 1] = shape;
  const noise = hashFill("bench.reading", productOf(shape));
  const voxels = Int16Array.from(noise, (u, index) => {
    const [i, j] = [index % width, Math.floor(index / width) % height];
    return Math.round(400 + 250 * Math.sin(i / 37) * Math.cos(j / 29) + 24 * u);
  });
  const file = await compress(
    niftiFile([depth, height, width], [0, 0, 0.5, 0, 0, 0.5, 0, 0, 3, 0, 0, 0], voxels),
  );
  await writeFile(path, file);
  return file.length;
}
