import type { DecodedVolume, MaskKind, StoredVolume, VolumeStatistics } from "./addon.js";
import { addon, settle } from "./load-addon.js";
import { Tensor } from "./tensor.js";

export type { DecodedVolume, MaskKind, StoredVolume, VolumeStatistics } from "./addon.js";

/**
 * The volume of an image file, decompressed and converted at once, on a thread of Node's pool. Null where the file cannot
 * be read, is damaged or not exactly as described, down to its last byte, or where it is gzip and there is no libdeflate.
 */
export const decodeVolume = (file: StoredVolume): Promise<DecodedVolume | null> =>
  settle(addon().volumeDecode(file));

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

/** A box of one slice of a batch of volumes, in whole voxels, and what is changed about it. */
export interface SliceCrop {
  volume: number;
  slice: number;
  top: number;
  left: number;
  height: number;
  width: number;
  /** Left and right are exchanged. Default false. */
  flipped?: boolean;
  /** x becomes gain x + offset. Default 1 and 0. */
  gain?: number;
  offset?: number;
}

export interface CropOptions {
  /** Height and width of the result. */
  size: readonly [number, number];
  /** With how many adjacent slices each is seen, itself in the middle; an odd number. Default 1. */
  adjacent?: number;
  /** Takes the nearest voxel, and no gain and offset. Default false. */
  mask?: boolean;
}

/**
 * Crops of volumes [N, C, D, H, W], resized to one size: [crops, C x adjacent, height, width]. Images are resized
 * bilinearly, against aliasing where they become smaller; slices beyond a volume repeat its first or last.
 *
 * @throws `BAD_INPUT` for a box that does not lie in its volume
 */
export async function cropSlices(
  volumes: Tensor,
  crops: readonly SliceCrop[],
  options: CropOptions,
): Promise<Tensor> {
  return new Tensor(
    await settle(
      addon().volumeCropSlices(volumes.handle, [...crops], { ...options, size: [...options.size] }),
    ),
  );
}

/** The volume with its values normalised, as a new tensor. */
export async function normalise(volume: Tensor, method: Normalisation): Promise<Tensor> {
  return new Tensor(await settle(addon().volumeNormalise(volume.handle, method)));
}

/** Range, moments, and the number of voxels that are NaN or infinite (the rest is over the finite ones). */
export const statistics = (volume: Tensor): Promise<VolumeStatistics> =>
  settle(addon().volumeStatistics(volume.handle));

/** The smallest box of foreground voxels, as [k, j, i] of its first and last voxel; null for an empty mask. */
export const bounds = (mask: Tensor) => settle(addon().volumeBounds(mask.handle));

/** What the values of a mask are, and the mask as it is taken: null where they are refused. The caller disposes it. */
export interface CheckedMask {
  kind: MaskKind;
  mask: Tensor | null;
  /** Some of its values, from the lowest to the highest. */
  values: number[];
}

/**
 * Checks a mask's values before it is resampled, and rounds its labels. With `binary` foreground alone is meant: every
 * label becomes 1, and a graded mask is taken, too.
 */
export async function checkMask(mask: Tensor, binary: boolean): Promise<CheckedMask> {
  const { kind, mask: taken, values } = await settle(addon().volumeCheckMask(mask.handle, binary));
  return { kind, mask: taken === null ? null : new Tensor(taken), values };
}

/** How many voxels of a mask hold each label but 0, the smallest label first. */
export const countLabels = (mask: Tensor): Promise<{ label: number; voxels: number }[]> =>
  settle(addon().volumeCountLabels(mask.handle));

/** How far the surfaces of two masks lie apart. */
export interface SurfaceDistances {
  /** The share of both surfaces that lies within the tolerance of the other (Nikolov et al. 2018). */
  surfaceDice: number;
  /** The 95th percentile of the distances of both surfaces from the other, in mm: the larger of the two. */
  hausdorff95: number;
}

/**
 * Distances between the surfaces of what was found, where `found` [D, H, W] lies above `above`, and of the foreground of
 * `truth` [D, H, W]. A surface is made of the voxels of a mask with a neighbour (of six) outside of it, or at the edge of the
 * volume; each counts once. `spacing` [D, H, W] and `tolerance` in mm.
 *
 * @throws `BAD_INPUT` where either mask is empty
 */
export const surfaceDistances = (
  found: Tensor,
  truth: Tensor,
  options: { above: number; spacing: readonly number[]; tolerance: number },
): Promise<SurfaceDistances> =>
  settle(
    addon().volumeSurfaceDistances(found.handle, truth.handle, {
      ...options,
      spacing: [...options.spacing],
    }),
  );

/**
 * A volume [D, H, W] pulled back by a displacement field: the result at x is the volume at x + u(x), trilinear, with the
 * edge's value beyond the edge. `field` [3, D, H, W] is u in voxels, its components in the order d, h, w. Zeros give the
 * volume itself, to the bit. Both on the CPU.
 */
export async function warp(volume: Tensor, field: Tensor): Promise<Tensor> {
  return new Tensor(await settle(addon().volumeWarp(volume.handle, field.handle)));
}

/**
 * A lower bound of the Jacobian determinant of x + u(x), everywhere in the volume and between voxels too: above 0, the
 * field folds nowhere. Exact for fields along one axis and for linear ones. `field` as for `warp`.
 */
export const jacobianMinimum = (field: Tensor): Promise<number> =>
  settle(addon().volumeJacobianMinimum(field.handle));

/**
 * The exact Euclidean distance in mm of each voxel's centre to that of the nearest foreground voxel of `mask` [D, H, W]
 * (Felzenszwalb and Huttenlocher 2012). `spacing`: voxel size in mm, [D, H, W].
 *
 * @throws `BAD_INPUT` for an empty mask
 */
export async function distanceTransform(mask: Tensor, spacing: readonly number[]): Promise<Tensor> {
  return new Tensor(await settle(addon().volumeDistanceTransform(mask.handle, [...spacing])));
}

/**
 * A mask [D, H, W] of the plane right behind the box around `gland`, as tall and as wide as the box: where the rectum
 * lies when no mask says so. Back is the end of the H axis.
 *
 * @throws `BAD_INPUT` for an empty mask
 */
export async function regionBehind(gland: Tensor): Promise<Tensor> {
  return new Tensor(await settle(addon().volumeRegionBehind(gland.handle)));
}

export interface DistortionOptions {
  /** Voxel size in mm, [D, H, W]. */
  spacing: readonly number[];
  /** The phase-encoding direction, along which alone voxels move: 0 is D, 1 is H, 2 is W. Default 1, front to back. */
  axis?: 0 | 1 | 2;
  /** The largest displacement, in mm. */
  maximumDisplacement: number;
  /** The distance in mm over which displacements fall to 1/e. */
  decay: number;
  /** What the Jacobian determinant must not fall below, from 0 to below 1. Default 0.1. */
  leastJacobian?: number;
}

/** A field that folds nowhere. The caller disposes `field`. */
export interface Distortion {
  /** [3, D, H, W] in voxels, as `warp` takes it. */
  field: Tensor;
  /** The share of the maximum displacement that is left: 1 unless the field would have been too steep. */
  scale: number;
  /** The smallest Jacobian determinant of x + u(x). */
  jacobianMinimum: number;
}

/**
 * A smooth random displacement field that decays from a source, as gas in the rectum distorts an image:
 * exp(-distance / decay) times a cubic B-spline, scaled to the maximum displacement, and further down where it would
 * be steeper than `leastJacobian` allows.
 *
 * @param source [D, H, W]; distances are measured from its foreground
 * @param control [d, h, w], at least 4 each: the coefficients of the B-spline, stretched over the volume; normal draws
 */
export async function distortionField(
  source: Tensor,
  control: Tensor,
  options: DistortionOptions,
): Promise<Distortion> {
  using distances = await distanceTransform(source, options.spacing);
  const { field, ...rest } = await settle(
    addon().volumeDistortionField(distances.handle, control.handle, plainOf(options)),
  );
  return { field: new Tensor(field), ...rest };
}

/**
 * What `warp` makes of a volume [D, H, W] by the field of `distortionField`, to the bit: no field is held. `distances` are
 * those of `distanceTransform` from the source. A volume on a GPU is distorted there, with the same answer but for rounding;
 * `distances` may lie elsewhere, `control` lies on the CPU.
 */
export async function distort(
  volume: Tensor,
  distances: Tensor,
  control: Tensor,
  options: DistortionOptions,
): Promise<Tensor> {
  const { handle } = volume;
  return new Tensor(
    await settle(addon().volumeDistort(handle, distances.handle, control.handle, plainOf(options))),
  );
}

const plainOf = (options: DistortionOptions) => ({ ...options, spacing: [...options.spacing] });

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
