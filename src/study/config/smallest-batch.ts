import { batchNormStrideOf } from "../../models/architectures/index.js";
import type { NetworkSpec } from "../../native/network-spec.js";
import type { TaskShape } from "../../tasks/task.js";
import { smallestBatch } from "../../tasks/task.js";

/**
 * Cases that a step of training needs. Batch norm knows no variance of one value a channel: a classifier's head has one
 * for each case, and an encoder with batch norm, as a ResNet, one for each voxel of its deepest stage.
 *
 * @param task null: pretraining
 * @param voxels of a volume before the task: height, width, depth
 */
export function smallestBatchOf(
  network: NetworkSpec,
  task: TaskShape | null,
  [height, width, depth]: readonly [number, number, number],
): number {
  const ofHead = task === null ? 1 : smallestBatch(task);
  if (!("encoder" in network)) return ofHead;
  const stride = batchNormStrideOf(network.encoder);
  if (stride === null) return ofHead;
  const sizes = [height, width, depth / (task?.depthScale ?? 1)];
  return sizes.every((size) => size <= stride) ? 2 : ofHead;
}
