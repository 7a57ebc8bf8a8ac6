import { TransferLimitsError } from "../../common/errors.js";
import type { TaskName } from "../../common/vocabulary.js";
import { Tensor } from "../../native/tensor.js";

/** The voxels of a float32 tensor, in row-major order. */
export async function voxelsOf(tensor: Tensor): Promise<Float32Array> {
  const values = await tensor.toArray();
  if (!(values instanceof Float32Array))
    throw new TransferLimitsError("INTERNAL", `Expected float32 voxels but received ${tensor.dtype}`);
  return values;
}

/** The image [D, H, W] that a sample shows, its first channel, of an input [1, C, D, H, W]. */
export async function firstChannel(input: Tensor): Promise<Tensor> {
  using channels = await input.select(0, 0); // [C, D, H, W]
  return await channels.select(0, 0);
}

/** An image [D, H, W] as the answer to a case: [1, 1, D, H, W]. */
export async function asAnswer(image: Tensor): Promise<Tensor> {
  using channel = await Tensor.gather([image], [0]); // [1, D, H, W]
  return await Tensor.gather([channel], [0]);
}

/** The voxels of the image that a sample shows, of an input [1, C, D, H, W]. */
export async function shownImage(
  input: Tensor,
): Promise<{ voxels: Float32Array; shape: [number, number, number] }> {
  using image = await firstChannel(input);
  return { voxels: await voxelsOf(image), shape: image.shape as [number, number, number] };
}

/** Refuses to fit anything to no case at all. @throws `BAD_MANIFEST` */
export function requireTraining(task: TaskName, training: readonly unknown[]): void {
  if (training.length > 0) return;
  throw new TransferLimitsError(
    "BAD_MANIFEST",
    `Expected at least 1 case of the training set with what ${task} needs, which its trivial answer is fitted to, but ` +
      "there is none. Fill the columns for more cases, or enlarge split.train",
  );
}
