import { expected } from "../common/errors.js";
import { isTensor, Tensor } from "./tensor.js";

/** Numbers with a shape, for those who hold arrays and no tensors: row-major. */
export interface ShapedArray {
  data: Float32Array | Float64Array;
  shape: readonly number[];
}

/**
 * Runs `work` with a tensor for each of `values`. Arrays become temporary tensors, on the device of the first value
 * that is a tensor, and are disposed when `work` has ended, however it ended; tensors are passed on and stay alive.
 */
export async function withTensors<T>(
  values: Record<string, Tensor | ShapedArray>,
  work: (...tensors: Tensor[]) => Promise<T>,
): Promise<T> {
  const device = Object.values(values).find(isTensor)?.device ?? "cpu";
  const temporary: Tensor[] = [];
  try {
    const tensors = Object.entries(values).map(([name, value]) => {
      if (isTensor(value)) return value;
      const floats = value?.data instanceof Float32Array || value?.data instanceof Float64Array;
      if (!floats) throw expected("a Tensor, or { data, shape } with float32 or float64 data", name, value);
      const tensor = Tensor.from(value.data, value.shape, device);
      temporary.push(tensor);
      return tensor;
    });
    return await work(...tensors);
  } finally {
    for (const tensor of temporary) tensor.dispose();
  }
}
