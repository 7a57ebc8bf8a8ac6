import { readSafetensors } from "../native/safetensors.js";

/** What a file of weights holds: a plain object, ready for JSON. */
export interface WeightsInspection {
  path: string;
  kind: "weights";
  format: "safetensors";
  /** All elements of all tensors. */
  parameters: number;
  metadata: Record<string, string>;
  tensors: { name: string; dtype: string; shape: number[] }[];
}

/** Reads the header of a safetensors file; no tensor is loaded. @throws `BAD_CHECKPOINT` */
export async function inspectWeights(path: string): Promise<WeightsInspection> {
  const file = await readSafetensors(path);
  const tensors = file.names.map((name) => ({ name, dtype: file.dtype(name), shape: file.shape(name) }));
  const elements = (shape: readonly number[]) => shape.reduce((product, extent) => product * extent, 1);
  return {
    path,
    kind: "weights",
    format: "safetensors",
    parameters: tensors.reduce((sum, { shape }) => sum + elements(shape), 0),
    metadata: file.metadata,
    tensors,
  };
}
