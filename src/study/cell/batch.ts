import type { VolumeFeatures } from "../../native/placed-network.js";
import { Tensor } from "../../native/tensor.js";
import type { Sample } from "../../tasks/task.js";

/** Cases that a network learns from at once. */
export interface Batch {
  input: Tensor;
  target: Tensor;
  /** The encoder's features of the input, where it is frozen and they are known. */
  features?: VolumeFeatures;
}

/** Stacks samples to a batch [N, C, D, H, W] and disposes of them. */
export async function collate(samples: readonly Sample[]): Promise<Batch> {
  const indices = samples.map((_, index) => index);
  try {
    const input = await Tensor.gather(
      samples.map((sample) => sample.input),
      indices,
    );
    try {
      return {
        input,
        target: await Tensor.gather(
          samples.map((sample) => sample.target),
          indices,
        ),
      };
    } catch (error) {
      input.dispose();
      throw error;
    }
  } finally {
    for (const sample of samples) sample[Symbol.dispose]();
  }
}
