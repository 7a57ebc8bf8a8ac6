import { addon, settle } from "./load-addon.js";
import { Tensor } from "./tensor.js";

/** How a volume [D, H, W] is moved: flipped first, then shifted. */
export interface Motion {
  /** Axes, 0 to 2, along which the order of voxels is reversed. */
  flipped: readonly number[];
  /** Whole voxels along [D, H, W], towards higher indices. */
  shift: readonly [number, number, number];
}

/**
 * A volume [..., D, H, W], moved, as a new tensor on its device; voxels that nothing was moved to are 0. Nothing waits for
 * a GPU.
 */
export async function moveVolume(volume: Tensor, { flipped, shift }: Motion): Promise<Tensor> {
  return new Tensor(await settle(addon().volumeMove(volume.handle, [...flipped], [...shift])));
}

/** What a channel's intensities become: gain x + offset. */
export interface Intensity {
  gain: number;
  offset: number;
}

/**
 * A batch [N, C, D, H, W] with other intensities, as a new tensor on its device, in one operation. Nothing waits for a GPU.
 *
 * @param channels N x C of them: those of the first sample, then of the next
 * @throws `BAD_INPUT` where there are fewer or more, and for numbers that are not finite
 */
export async function changeIntensities(batch: Tensor, channels: readonly Intensity[]): Promise<Tensor> {
  const gains = channels.map(({ gain }) => gain);
  const offsets = channels.map(({ offset }) => offset);
  return new Tensor(await settle(addon().batchIntensities(batch.handle, gains, offsets)));
}
