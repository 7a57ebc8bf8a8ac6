import { writeFile } from "node:fs/promises";
import type { PlacedNetwork } from "../dist/native/placed-network.js";
import { floats, type TorchTensor, torchZip } from "./torch-writer.js";

/** The values of a network's parameters and buffers by name, with their shapes. */
export type State = Map<string, { shape: number[]; values: number[] }>;

export async function stateOf(network: PlacedNetwork): Promise<State> {
  const state: State = new Map();
  for (const [name, tensor] of Object.entries(await network.state())) {
    state.set(name, { shape: tensor.shape, values: Array.from(await tensor.toArray(), Number) });
    tensor.dispose();
  }
  return state;
}

/**
 * Writes a state dict under other names and in other layouts, as PyTorch would: `{ model: {...}, epoch: 1 }`; with
 * further tensors of zeros, where those are named.
 */
export async function writeForeign(
  path: string,
  state: State,
  change: (
    name: string,
    tensor: { shape: number[]; values: number[] },
  ) => [name: string, shape: number[], values: number[]] | null,
  further: readonly [name: string, shape: number[]][] = [],
): Promise<void> {
  const entries: [string, TorchTensor][] = [];
  for (const [name, tensor] of state) {
    const changed = change(name, tensor);
    if (changed === null) continue;
    const [foreign, shape, values] = changed;
    entries.push([foreign, floats(values, shape)]);
  }
  for (const [name, shape] of further)
    entries.push([name, floats(new Array(shape.reduce((a, b) => a * b, 1)).fill(0), shape)]);
  await writeFile(
    path,
    torchZip({
      dictionary: [
        ["model", { ordered: entries }],
        ["epoch", 1],
      ],
    }),
  );
}

/** The values of a dense kernel [out, in, a, b, c] as a sparse convolution keeps them: (c b a, in, out). */
export function sparseKernel([out, inner, ...edges]: number[], values: number[]): number[] {
  const [a, b, c] = [...edges, 1].slice(0, 3) as [number, number, number];
  const kernel = new Array<number>(values.length);
  let at = 0;
  for (let o = 0; o < out; o++)
    for (let i = 0; i < inner; i++)
      for (let x = 0; x < a; x++)
        for (let y = 0; y < b; y++)
          for (let z = 0; z < c; z++)
            kernel[((z * b * a + y * a + x) * inner + i) * out + o] = values[at++] as number;
  return kernel;
}

/** A tensor [..., d, h, w] with its last three axes in the order `order`, row-major. */
export function turned(
  shape: readonly number[],
  values: readonly number[],
  order: readonly number[],
): number[] {
  const edges = shape.slice(-3) as number[];
  const steps = [edges[1] * edges[2], edges[2], 1];
  const size = edges[0] * edges[1] * edges[2];
  const result: number[] = [];
  for (let first = 0; first < values.length; first += size)
    for (let x = 0; x < edges[order[0]]; x++)
      for (let y = 0; y < edges[order[1]]; y++)
        for (let z = 0; z < edges[order[2]]; z++)
          result.push(
            values[first + x * steps[order[0]] + y * steps[order[1]] + z * steps[order[2]]] as number,
          );
  return result;
}
