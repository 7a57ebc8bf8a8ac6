import type { VolumeStatistics } from "./addon.js";
import { addon, settle } from "./load.js";
import { Tensor } from "./tensor.js";

export type { VolumeStatistics } from "./addon.js";

/** How a volume's values are brought to a common scale. */
export type Normalisation =
  /** Linear, so that the given percentiles of the volume become 0 and 1; clipped there. */
  | { kind: "percentiles"; low: number; high: number }
  /** Linear, so that the given values become 0 and 1; clipped there. For images with a unit, such as ADC. */
  | { kind: "range"; low: number; high: number }
  /** Zero mean and unit standard deviation over the voxels above zero. */
  | { kind: "z-score" };

export interface ResampleOptions {
  /** Row-major 4x4: voxel index (k, j, i, 1) of the output -> voxel index of the input, same axis order. */
  outputToInput: readonly number[];
  /** [D, H, W] of the output. */
  shape: readonly number[];
  /** `label-linear`: each label is interpolated linearly as its own mask and the largest wins. */
  interpolation: "linear" | "nearest" | "label-linear";
  /** Value of voxels whose position lies outside the input. Default 0. */
  outside?: number;
}

/** Resamples a volume [D, H, W] of float32 by an affine map between voxel indices. */
export async function resample(volume: Tensor, options: ResampleOptions): Promise<Tensor> {
  const { outputToInput, shape, interpolation, outside = 0 } = options;
  return new Tensor(
    await settle(
      addon().volumeResample(volume.handle, [...outputToInput], [...shape], interpolation, outside),
    ),
  );
}

/**
 * The volume [D, H, W] filtered by a Gaussian along each axis, as a new tensor: against aliasing, before it is sampled
 * more coarsely. `sigmas`: standard deviations [D, H, W] in voxels; 0 leaves an axis as it is.
 */
export async function smooth(volume: Tensor, sigmas: readonly number[]): Promise<Tensor> {
  return new Tensor(await settle(addon().volumeSmooth(volume.handle, [...sigmas])));
}

/** The volume with its values normalised, as a new tensor. */
export async function normalise(volume: Tensor, method: Normalisation): Promise<Tensor> {
  return new Tensor(await settle(addon().volumeNormalise(volume.handle, method)));
}

/** Range, moments, and the number of voxels that are NaN or infinite (the rest is over the finite ones). */
export const statistics = (volume: Tensor): Promise<VolumeStatistics> =>
  settle(addon().volumeStatistics(volume.handle));

/** The smallest box of voxels above 0.5, as [k, j, i] of its first and last voxel; null for an empty mask. */
export const bounds = (mask: Tensor) => settle(addon().volumeBounds(mask.handle));

/** One ellipsoid of tissue, painted over those before it; centres and radii in mm, in the patient's axes. */
export interface PhantomTissue {
  label: number;
  centre: [number, number, number];
  radii: [number, number, number];
  /** Rotation about the head-foot axis, in degrees. */
  rotation: number;
  t2Milliseconds: number;
  adc: number;
  protonDensity: number;
  /** Amplitude of smooth texture, as a share of T2, and its size in mm. */
  texture: number;
  textureSize: number;
  /** Share of the signal that comes from fat, which diffusion imaging suppresses. Default 0. */
  fat?: number;
  /** A power: 2 is an ellipsoid, more is boxier. */
  roundness?: number;
}

export interface PhantomGrid {
  /** [D, H, W] */
  shape: [number, number, number];
  /** Voxel size in mm, [D, H, W]. */
  spacing: [number, number, number];
  /** Row-major 3x4: voxel (k, j, i, 1) -> patient position in mm (x, y, z) in the phantom's frame. */
  voxelToPatient: number[];
}

export interface PhantomScene {
  /** Where nothing is painted. */
  background: { t2Milliseconds: number; adc: number; protonDensity: number };
  tissues: PhantomTissue[];
  t2w: { grid: PhantomGrid; echoMilliseconds: number };
  diffusion: { grid: PhantomGrid; echoMilliseconds: number; highB: number };
  /** Standard deviation of the complex noise, as a share of the brightest tissue. */
  noise: number;
  /** Relative amplitude of the smooth coil sensitivity. */
  biasField: number;
  seed: number;
}

/**
 * Renders a phantom: T2W on its grid, ADC and high-b on theirs by S = PD exp(-TE / T2) exp(-b ADC) with Rician noise,
 * and the label map on the T2W grid. Tensors `t2w`, `adc`, `hbv`, `labels`, each [D, H, W]; ADC in 1e-6 mm²/s.
 */
export async function renderPhantom(
  scene: PhantomScene,
): Promise<Record<"t2w" | "adc" | "hbv" | "labels", Tensor>> {
  const rendered = await settle(addon().phantomRender(scene));
  return Object.fromEntries(
    Object.entries(rendered).map(([name, handle]) => [name, new Tensor(handle)]),
  ) as Record<"t2w" | "adc" | "hbv" | "labels", Tensor>;
}
