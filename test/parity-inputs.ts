import { readFileSync } from "node:fs";
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
  return Tensor.from(
    Float32Array.from(values, (value) => scale * Math.fround(value)),
    shape,
  );
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
  return Float32Array.from(values, fill);
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
