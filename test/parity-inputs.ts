import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { PlacedNetwork } from "../dist/native/placed-network.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";
import { shared } from "./shared.js";

export interface ParityInput {
  name: string;
  shape: number[];
  scale: number;
}

/** The input that a parity file describes. */
export function parityInput({ name, shape, scale }: ParityInput): Tensor {
  const values = hashFill(
    name,
    shape.reduce((a, b) => a * b, 1),
  );
  return Tensor.from(new Float32Array(values.map((value) => scale * Math.fround(value))), shape);
}

/** The value that every parameter of that name has in the parity files. */
export function parityParameter(name: string, shape: number[]): Float32Array {
  const leaf = name.slice(name.lastIndexOf(".") + 1);
  const values = hashFill(
    name,
    shape.reduce((a, b) => a * b, 1),
  );
  const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
  const fill = (u: number): number => {
    if (leaf === "num_batches_tracked") return 0;
    if (leaf === "running_var") return 1 + 0.5 * u;
    if (leaf === "running_mean") return 0.1 * u;
    if (leaf === "gamma" || leaf === "beta") return name.includes("ls") ? 0.5 + 0.25 * u : 0.1 * u;
    if (leaf === "weight") return shape.length === 1 ? 1 + 0.1 * u : u * Math.sqrt(3 / fanIn);
    return 0.02 * u;
  };
  return new Float32Array(values.map(fill));
}

/** Gives every parameter and buffer of a network the value that follows from its name. */
export async function fillParameters(network: PlacedNetwork): Promise<void> {
  for (const { name, shape, dtype } of network.parameters) {
    const values = parityParameter(name, shape);
    using tensor =
      dtype === "int64" ? Tensor.from(BigInt64Array.from(values, BigInt), shape) : Tensor.from(values, shape);
    await network.assign({ [name]: tensor });
  }
}

export const parity = (file: string) => JSON.parse(readFileSync(shared("parity", file), "utf8"));

/** |a - b| / |b|, in L2. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let index = 0; index < expected.length; index++) {
    difference += (Number(actual[index]) - expected[index]) ** 2;
    norm += expected[index] ** 2;
  }
  return Math.sqrt(difference / norm);
}

/** What a parity file keeps of a large tensor; indices are flat and row-major. */
export interface Sample {
  shape: number[];
  mean: number;
  std: number;
  l2: number;
  index: number[];
  value: number[];
}

/** The relative L2 error of a tensor at the sampled indices. */
export async function sampleError(tensor: Tensor, sample: Sample): Promise<number> {
  const values = (await tensor.toArray()) as Float32Array;
  return relativeError(
    sample.index.map((index) => values[index]),
    sample.value,
  );
}

/** Expects a tensor of the sampled shape, values, length and mean, within 1e-4. */
export async function expectSample(tensor: Tensor, sample: Sample): Promise<void> {
  expect(tensor.shape).toEqual(sample.shape);
  expect(await sampleError(tensor, sample)).toBeLessThan(1e-4);
  const values = (await tensor.toArray()) as Float32Array;
  const norm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  expect(Math.abs(norm - sample.l2) / sample.l2).toBeLessThan(1e-4);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  expect(Math.abs(mean - sample.mean)).toBeLessThan(1e-4 * sample.std);
}
