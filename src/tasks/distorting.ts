import type { CaseVolumes } from "../cohort/case-volumes.js";
import { shows } from "../cohort/needs.js";
import { TransferLimitsError } from "../common/errors.js";
import { foregroundAbove } from "../common/foreground.js";
import { productOf } from "../common/numbers.js";
import type { RandomStream } from "../common/random.js";
import { moveVolume } from "../native/augmentation.js";
import { Tensor } from "../native/tensor.js";
import {
  type DistortionOptions,
  distanceTransform,
  distort,
  distortionField,
  regionBehind,
} from "../native/volumes.js";
import { imageOf } from "./own-image.js";

/** What fields decay from, as far as a study says it. */
export interface FieldSource {
  mask?: string | undefined;
  source?: "rectum" | "rectum-or-behind-gland" | "everywhere" | undefined;
  withoutMask?: "left-out" | "everywhere" | undefined;
}

/** What distorts an image, of the task's options. */
export interface FieldOptions extends FieldSource {
  image?: string | undefined;
  maximumDisplacement: number;
  decay: number;
  smoothness: number;
  phaseEncoding: "anterior-posterior" | "left-right";
}

/** The masks that fields decay from, the first that shows anything; null: they decay nowhere. */
export function masksOf({ mask, source = "rectum" }: FieldSource): [string, ...string[]] | null {
  if (mask !== undefined) return [mask];
  if (source === "everywhere") return null;
  return source === "rectum" ? ["rectum"] : ["rectum", "gland"];
}

/** What a user can do about a case of which no mask shows what its field would decay from. */
export const mendOf = (column: string): string =>
  `give it one in the manifest's ${column} column, or set the task's ` +
  (column === "rectum"
    ? "source to rectum-or-behind-gland, so that the field starts behind the gland, or its "
    : "") +
  "withoutMask to everywhere, so that the field decays nowhere";

/** Of the memory that is free when a task is made, what is kept of its cases may take. */
const shareOfKept = 1 / 16;

/** A volume outside of the handles that are disposed one by one: its memory goes when nobody refers to it. */
interface KeptVolume {
  values: Float32Array;
  shape: number[];
}

const volumeOf = ({ values, shape }: KeptVolume, device = "cpu"): Tensor =>
  Tensor.sharing(values, shape, device);

/**
 * Distorts the images of one task's cases. What is the same in every epoch is kept while there is room: how far a case's
 * voxels lie from what its fields decay from, and, where the same field is drawn for a case once more, as it is in every
 * validation, the distorted image. Of training, where each field is another, no image is kept.
 */
export class Distorter {
  readonly #options: FieldOptions;
  readonly #distances = new WeakMap<CaseVolumes, KeptVolume>();
  readonly #drawn = new WeakMap<CaseVolumes, { control: Float32Array; image?: KeptVolume }>();
  #room: number;

  /** @param room bytes that may be kept; default: a share of the memory that is free */
  constructor(options: FieldOptions, room = shareOfKept * process.availableMemory()) {
    this.#options = options;
    this.#room = room;
  }

  /**
   * The image [D, H, W] of a case on its device, distorted by a field that is drawn. A case that is moved is moved
   * afterwards: its field is that of the anatomy as it was taken, with a rectum that a shift may bring out of sight.
   */
  async image(volumes: CaseVolumes, draw: RandomStream): Promise<Tensor> {
    if (volumes.moved) {
      using distorted = await this.image(volumes.moved.from, draw);
      return await moveVolume(distorted, volumes.moved.motion);
    }
    using original = await volumes.load(imageOf(this.#options));
    const { values, shape } = drawControl(original.shape, volumes, this.#options, draw);
    const before = this.#drawn.get(volumes);
    const again = before !== undefined && sameNumbers(before.control, values);
    if (again && before.image) return volumeOf(before.image, volumes.device);

    using distances = await this.#distancesOf(volumes);
    using control = Tensor.from(values, shape);
    const distorted = await distort(original, distances, control, fieldOf(volumes, this.#options));
    if (again) {
      const image = await this.#kept(distorted);
      this.#drawn.set(volumes, { control: values, ...(image ? { image } : {}) });
    } else this.#drawn.set(volumes, { control: values });
    return distorted;
  }

  async #distancesOf(volumes: CaseVolumes): Promise<Tensor> {
    const known = this.#distances.get(volumes);
    if (known) return volumeOf(known);
    const distances = await distancesOf(volumes, this.#options);
    const kept = await this.#kept(distances);
    if (kept) this.#distances.set(volumes, kept);
    return distances;
  }

  /** A copy to keep, where there is room for it. */
  async #kept(volume: Tensor): Promise<KeptVolume | null> {
    const bytes = 4 * productOf(volume.shape);
    if (bytes > this.#room) return null;
    this.#room -= bytes;
    return await read(volume);
  }
}

const read = async (volume: Tensor): Promise<KeptVolume> => ({
  values: (await volume.toArray()) as Float32Array,
  shape: volume.shape,
});

const sameNumbers = (a: Float32Array, b: Float32Array): boolean =>
  a.length === b.length && a.every((value, index) => value === b[index]);

/** Draws the displacement field [3, D, H, W] by which a `Distorter` would distort a case, in voxels, on the CPU. */
export async function drawField(
  volumes: CaseVolumes,
  options: FieldOptions,
  draw: RandomStream,
): Promise<Tensor> {
  using source = await sourceOf(volumes, options);
  const { values, shape } = drawControl(source.shape, volumes, options, draw);
  using control = Tensor.from(values, shape);
  const { field } = await distortionField(source, control, fieldOf(volumes, options));
  return field;
}

/** One coefficient every `smoothness` mm, and the three more that a cubic B-spline needs at its ends. */
function drawControl(
  size: readonly number[],
  { spacing }: CaseVolumes,
  { smoothness }: FieldOptions,
  draw: RandomStream,
): KeptVolume {
  const shape = size.map((voxels, axis) => {
    const extent = (voxels - 1) * (spacing[axis] as number);
    return 3 + Math.max(1, Math.round(extent / smoothness));
  });
  const count = productOf(shape);
  return { values: Float32Array.from({ length: count }, () => draw.normal()), shape };
}

const fieldOf = (
  { spacing }: CaseVolumes,
  { phaseEncoding, maximumDisplacement, decay }: FieldOptions,
): DistortionOptions => ({
  spacing,
  axis: phaseEncoding === "anterior-posterior" ? 1 : 2,
  maximumDisplacement,
  decay,
});

async function distancesOf(volumes: CaseVolumes, options: FieldOptions): Promise<Tensor> {
  using source = await sourceOf(volumes, options);
  return await distanceTransform(source, volumes.spacing);
}

/** The mask that distances are measured from: all of the crop where the field decays nowhere. */
async function sourceOf(volumes: CaseVolumes, options: FieldOptions): Promise<Tensor> {
  const masks = masksOf(options);
  const shown = masks?.find((role) => shows(volumes, role));
  if (shown === undefined) {
    if (masks !== null && options.withoutMask !== "everywhere")
      throw new TransferLimitsError(
        "BAD_INPUT",
        `Expected a ${masks.join(" or a ")} mask with at least one voxel in the crop of case ` +
          `${volumes.case} but received none${masks.length === 1 ? `: ${mendOf(masks[0])}` : ""}`,
      );
    using image = await volumes.load(imageOf(options), "cpu");
    return await image.threshold(Number.NEGATIVE_INFINITY);
  }
  using mask = await volumes.load(shown, "cpu");
  if (options.mask !== undefined) return await mask.threshold(foregroundAbove);
  return shown === "gland" ? await regionBehind(mask) : mask.share();
}
