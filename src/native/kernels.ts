import type { CancelFlag, OverlapCounts } from "./addon.js";
import { addon, settle } from "./load.js";
import type { LossSpec } from "./network.js";
import { Tensor } from "./tensor.js";

/** Runs `work` with a native flag that is raised when `signal` is aborted. */
async function cancellable<T>(
  signal: AbortSignal | undefined,
  work: (cancel: CancelFlag | null) => Promise<T>,
): Promise<T> {
  if (!signal) return settle(work(null));
  const flag = addon().cancelFlag();
  const raise = () => addon().cancel(flag);
  if (signal.aborted) raise();
  signal.addEventListener("abort", raise, { once: true });
  try {
    return await settle(work(flag));
  } finally {
    signal.removeEventListener("abort", raise);
  }
}

/** Sums of the Gaussian kernel exp(-|u - v|² / sigma²) within and between two sets, per bandwidth. */
export const kernelSums = (a: Tensor, b: Tensor, sigmas: readonly number[], signal?: AbortSignal) =>
  cancellable(signal, (cancel) => addon().mmd2(a.handle, b.handle, [...sigmas], cancel));

/** The median Euclidean distance between distinct rows of A and B together (at most 1,000 rows of each). */
export const medianDistance = (a: Tensor, b: Tensor) => settle(addon().medianDistance(a.handle, b.handle));

/**
 * Mean 3D SSIM of each sample over the windows that lie inside (Gaussian 11, sigma 1.5, K1 0.01, K2 0.03; Wang 2004).
 * `a` and `b`: [D, H, W] or [N, C, D, H, W].
 */
export const ssim3d = (a: Tensor, b: Tensor, dataRange: number): Promise<number[]> =>
  settle(addon().ssim3d(a.handle, b.handle, dataRange));

/** Voxel counts per sample of `prediction > threshold` and `target > 0.5`, for overlap measures. */
export const overlap = (prediction: Tensor, target: Tensor, threshold: number): Promise<OverlapCounts[]> =>
  settle(addon().overlap(prediction.handle, target.handle, threshold));

/** A loss and its gradient with respect to the prediction. */
export async function lossGradient(loss: LossSpec, prediction: Tensor, target: Tensor) {
  const { value, gradient } = await settle(addon().lossGradient(loss, prediction.handle, target.handle));
  return { value, gradient: new Tensor(gradient) };
}
