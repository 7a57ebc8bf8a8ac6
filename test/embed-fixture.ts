import { writeFile } from "node:fs/promises";
import type { Tensor } from "../dist/index.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { nrrdOf } from "./nrrd-fixture.js";

/** An NRRD of `edge`³ voxels of 1 mm, whose axes i, j and k point to the left, the back and the head. */
export async function writeNrrd(
  path: string,
  edge: number,
  value: (k: number, j: number, i: number) => number,
): Promise<void> {
  const voxels = Int16Array.from({ length: edge ** 3 }, (_, at) =>
    value(Math.floor(at / edge ** 2), Math.floor(at / edge) % edge, at % edge),
  );
  await writeFile(path, nrrdOf([edge, edge, edge], [1, 1, 1], voxels));
}

/** Of such an image, the one whose voxels hold 0, 1, 2, ... in the order of the file. */
export const writeRamp = (path: string, edge = 8): Promise<void> =>
  writeNrrd(path, edge, (k, j, i) => k * edge ** 2 + j * edge + i);

export const floatsOf = async (tensor: Tensor): Promise<number[]> =>
  Array.from((await tensor.toArray()) as Float32Array);

/** The rows of a file of embeddings by the case's id. */
export async function rowsOf(path: string): Promise<Record<string, number[]>> {
  const file = await readSafetensors(path);
  using tensor = await file.tensor("embeddings");
  return rowsBy(JSON.parse(file.metadata.cases as string) as string[], tensor);
}

export async function rowsBy(ids: readonly string[], embeddings: Tensor): Promise<Record<string, number[]>> {
  const all = await floatsOf(embeddings);
  const features = embeddings.shape[1] as number;
  return Object.fromEntries(ids.map((id, row) => [id, all.slice(row * features, (row + 1) * features)]));
}
