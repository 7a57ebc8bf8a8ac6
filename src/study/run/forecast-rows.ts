import type { CaseVolumes } from "../../cohort/case-volumes.js";
import { TransferLimitsError, throwIfAborted } from "../../common/errors.js";
import { average } from "../../common/numbers.js";
import { type RandomStream, randomStream } from "../../common/random.js";
import { architectureOf } from "../../models/architectures/index.js";
import { channelsShown } from "../../models/specification.js";
import type { PlacedNetwork } from "../../native/placed-network.js";
import { Tensor } from "../../native/tensor.js";
import { type Sample, stackChannels, type Task } from "../../tasks/task.js";
import type { TaskConfig } from "../config/schema.js";

/**
 * What an encoder makes of training cases, row by row, and what is to be told from it: the class of a case, or whether a
 * voxel lies in a lesion, or its intensity.
 */
export interface ForecastRows {
  of: "cases" | "voxels";
  features: Float64Array[];
  /** Of a task that tells classes apart, case by case or voxel by voxel; else null. */
  labels: number[] | null;
  /** Of a task that answers with an image, at zero mean and unit variance; else null. */
  targets: number[] | null;
  /** Whose each row is. */
  patients: string[];
}

/** Voxels of all cases together, and of one. */
const mostVoxels = 2400;
const mostVoxelsOfCase = 24;
/** Features of a voxel that are kept: of more, so many random projections. */
const mostFeatures = 256;

/**
 * The rows of a task. A case that is classified is one row, its pooled features. Of a task that answers voxel by voxel a
 * row is a voxel, drawn by the seed (half of those of a lesion's case from the lesion), and its features are those of all
 * the encoder's feature maps where it lies, each at unit variance; where they are more than 256, as many random projections
 * of them. The same voxels whatever the encoder. Where a task is learnt by diffusion the encoder is shown the condition.
 *
 * @throws `NOT_FINITE` where the encoder answers with NaN
 */
export async function forecastRows(
  plain: Task,
  { channelFill }: Pick<TaskConfig, "channelFill">,
  cases: readonly CaseVolumes[],
  network: PlacedNetwork,
  { seed, signal }: { seed: number; signal?: AbortSignal | undefined },
): Promise<ForecastRows> {
  const task = plain.onTraining?.(cases) ?? plain;
  const ofCases = task.shape.answers === "classes";
  const isMask = task.pictures === "mask";
  const perCase = Math.min(mostVoxelsOfCase, Math.max(2, Math.floor(mostVoxels / cases.length)));
  const rows: Float64Array[] = [];
  const values: number[] = [];
  const patients: string[] = [];
  for (const volumes of cases) {
    throwIfAborted(signal);
    const stream = (what: string) => randomStream(seed, "forecast", what, task.name, volumes.case);
    const channels = channelsShown(network.spec, task.shape.channels);
    using sample = await task.sample(volumes, channels, stream("sample"));
    using input = await inputOf(task, channelFill, network, sample);
    using features = await network.embed(input);
    if (ofCases) {
      rows.push(Float64Array.from((await features.pooled.toArray()) as Float32Array));
      values.push(Number((await sample.target.toArray())[0]));
    } else {
      const target = sample.reference ?? sample.target; // [outputs, D, H, W]
      const voxels = anyOf((await target.toArray()) as Float32Array, target.shape[0] as number);
      const draw = stream("voxels");
      const chosen = isMask ? balanced(voxels, perCase, draw) : anywhere(voxels.length, perCase, draw);
      const maps = await Promise.all(features.stages.map((stage) => mapOf(stage, network)));
      for (const voxel of chosen) {
        rows.push(featuresAt(voxel, target.shape.slice(-3) as Size, maps));
        values.push(isMask ? Number((voxels[voxel] as number) > 0) : (voxels[voxel] as number));
      }
    }
    const own = rows.slice(patients.length);
    if (!own.every((row) => row.every(Number.isFinite)))
      throw new TransferLimitsError(
        "NOT_FINITE",
        `Expected finite numbers, but the encoder's features of ${volumes.case} hold NaN or infinity. Look at the weights with inspect`,
      );
    patients.push(...own.map(() => volumes.patient));
  }
  const told = (ofCases && !task.shape.numeric) || isMask;
  return {
    of: ofCases ? "cases" : "voxels",
    features: ofCases ? rows : projected(standardised(rows), seed),
    labels: told ? values : null,
    targets: told ? null : standardisedValues(values),
    patients,
  };
}

/** The first of several volumes in a row; of masks, where any of them is foreground. */
function anyOf(volumes: Float32Array, count: number): Float32Array {
  if (count === 1) return volumes;
  const size = volumes.length / count;
  return volumes
    .subarray(0, size)
    .map((_, voxel) =>
      Math.max(...Array.from({ length: count }, (_, one) => volumes[one * size + voxel] as number)),
    );
}

/** A sample's input [1, C, D, H, W]; of a diffusion its condition alone. */
async function inputOf(
  { shape }: Task,
  channelFill: TaskConfig["channelFill"],
  network: PlacedNetwork,
  sample: Sample,
): Promise<Tensor> {
  if (!shape.timed) return Tensor.gather([sample.input], [0]);
  using condition = await sample.input.select(0, 0);
  using stacked = await stackChannels([condition], channelsShown(network.spec, 1), channelFill);
  return await Tensor.gather([stacked], [0]);
}

type Size = [number, number, number];

/** A feature map on the host, with how far its places lie apart. */
interface FeatureMap {
  data: Float32Array;
  features: number;
  size: Size;
  /** From one feature to the next, and from one place to the next along each axis. */
  step: { feature: number; place: Size };
}

/** [1, C, D, H, W], or slice by slice [1, D, C, H, W]. */
async function mapOf(stage: Tensor, { spec }: PlacedNetwork): Promise<FeatureMap> {
  const data = (await stage.toArray()) as Float32Array;
  const [, first, second, h, w] = stage.shape as [number, number, number, number, number];
  const bySlice = "encoder" in spec && architectureOf(spec.encoder).slices;
  const [features, d] = bySlice ? [second, first] : [first, second];
  const plane = h * w;
  return {
    data,
    features,
    size: [d, h, w],
    step: bySlice
      ? { feature: plane, place: [features * plane, w, 1] }
      : { feature: d * plane, place: [plane, w, 1] },
  };
}

/** The features of all maps at the places in which a voxel of a volume of `size` lies. */
function featuresAt(voxel: number, size: Size, maps: readonly FeatureMap[]): Float64Array {
  const [, height, width] = size;
  const place = [Math.floor(voxel / (height * width)), Math.floor(voxel / width) % height, voxel % width];
  const row = new Float64Array(maps.reduce((sum, { features }) => sum + features, 0));
  let at = 0;
  for (const { data, features, size: ofMap, step } of maps) {
    let from = 0;
    for (let axis = 0; axis < 3; axis++) {
      const share = ((place[axis] as number) + 0.5) / (size[axis] as number);
      from += Math.floor(share * (ofMap[axis] as number)) * (step.place[axis] as number);
    }
    for (let feature = 0; feature < features; feature++)
      row[at++] = data[from + feature * step.feature] as number;
  }
  return row;
}

const anywhere = (voxels: number, count: number, draw: RandomStream): number[] =>
  Array.from({ length: count }, () => draw.integer(0, voxels - 1));

/** Half of the voxels in the foreground, where there is any. */
function balanced(voxels: Float32Array, count: number, draw: RandomStream): number[] {
  const inside: number[] = [];
  const outside: number[] = [];
  for (const [voxel, value] of voxels.entries()) (value > 0 ? inside : outside).push(voxel);
  const half = Math.ceil(count / 2);
  return [inside, outside].flatMap((some) =>
    some.length === 0
      ? []
      : Array.from({ length: half }, () => some[draw.integer(0, some.length - 1)] as number),
  );
}

/** Each feature at zero mean and unit variance over the rows; one that is the same in all rows becomes 0. */
function standardised(rows: readonly Float64Array[]): Float64Array[] {
  const width = rows[0]?.length ?? 0;
  const made = rows.map(() => new Float64Array(width));
  for (let column = 0; column < width; column++) {
    const values = standardisedValues(rows.map((row) => row[column] as number));
    for (const [row, value] of values.entries()) (made[row] as Float64Array)[column] = value;
  }
  return made;
}

function standardisedValues(values: readonly number[]): number[] {
  const mean = average(values);
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  // What float32 leaves of a feature that is the same everywhere is no spread.
  const spread = deviation > 1e-7 * Math.abs(mean) ? deviation : Number.POSITIVE_INFINITY;
  return values.map((value) => (value - mean) / spread);
}

/** Distances and linear models outlive a random projection (Johnson & Lindenstrauss 1984) but for a few percent. */
function projected(rows: readonly Float64Array[], seed: number): Float64Array[] {
  const width = rows[0]?.length ?? 0;
  if (width <= mostFeatures) return [...rows];
  const { normal } = randomStream(seed, "forecast", "projection", width);
  const directions = Array.from({ length: width }, () =>
    Float64Array.from({ length: mostFeatures }, () => normal() / Math.sqrt(mostFeatures)),
  );
  return rows.map((row) => {
    const made = new Float64Array(mostFeatures);
    for (const [feature, value] of row.entries()) {
      if (value === 0) continue;
      const direction = directions[feature] as Float64Array;
      for (let k = 0; k < mostFeatures; k++) made[k] = (made[k] as number) + value * (direction[k] as number);
    }
    return made;
  });
}
