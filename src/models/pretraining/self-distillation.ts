import { type CaseVolumes, loadForeground } from "../../cohort/case-volumes.js";
import { expected, TransferLimitsError } from "../../common/errors.js";
import type { RandomStream } from "../../common/random.js";
import type { PlacedNetwork } from "../../native/placed-network.js";
import { Tensor } from "../../native/tensor.js";
import type { DistillationSchedule, LossSpec, SliceViews } from "../../native/trainer.js";
import { cropSlices, type SliceCrop, statistics } from "../../native/volumes.js";
import { contrastBatch } from "./patch-contrast.js";
import { type Sees, seenOfProstate } from "./sees.js";

/**
 * Self-distillation without labels (DINO: Caron et al. 2021; Oquab et al. 2024) of a vision transformer over slices,
 * together with the patch contrast that lesion masks guide. Which slices, which boxes of them and which schedule are
 * decided here; cutting, resizing and learning is native.
 */
export interface SelfDistillationSettings {
  /** Of the cross-entropy between teacher and student. */
  weight: number;
  /** Of the patch contrast on the student's global views; 0: none. */
  contrastWeight: number;
  /** Slices that are drawn of each case in a step. */
  slices: number;
  /** Views of each slice that the student alone sees. Global ones are always two. */
  localViews: number;
  /** The share of a slice's area that a view shows. */
  globalScale: readonly [number, number];
  localScale: readonly [number, number];
  /** The contrast of a view changes by up to this share, its brightness by up to half as many standard deviations. */
  intensityJitter: number;
  /** Of the teacher at first; it rises to 1 as a half cosine. */
  momentum: number;
  centreMomentum: number;
  studentTemperature: number;
  /** The teacher's is `teacherTemperatureStart` at first, and rises to this over the first epochs. */
  teacherTemperature: number;
  teacherTemperatureStart: number;
  teacherTemperatureEpochs: number;
  /** Epochs at first in which the prototypes stay as they are drawn. */
  frozenPrototypeEpochs: number;
}

export const selfDistillationLoss = (settings: {
  distillation: SelfDistillationSettings;
  temperature: number;
  lesionShare: number;
  patches: number;
}): LossSpec => ({
  kind: "self-distillation",
  distillationWeight: settings.distillation.weight,
  contrastWeight: settings.distillation.contrastWeight,
  studentTemperature: settings.distillation.studentTemperature,
  centreMomentum: settings.distillation.centreMomentum,
  temperature: settings.temperature,
  lesionShare: settings.lesionShare,
  patches: settings.patches,
});

/**
 * What a step's schedule says.
 *
 * @param epoch from 1
 * @param progress the share of all steps that lie before this one, in [0, 1)
 */
export function distillationAt(
  settings: SelfDistillationSettings,
  epoch: number,
  progress: number,
): Required<DistillationSchedule> {
  const { momentum, teacherTemperature, teacherTemperatureStart, teacherTemperatureEpochs } = settings;
  const warm = teacherTemperatureEpochs === 0 ? 1 : Math.min(1, (epoch - 1) / teacherTemperatureEpochs);
  return {
    momentum: 1 - (1 - momentum) * 0.5 * (1 + Math.cos(Math.PI * progress)),
    teacherTemperature: teacherTemperatureStart + warm * (teacherTemperature - teacherTemperatureStart),
    prototypesFrozen: epoch <= settings.frozenPrototypeEpochs,
  };
}

/** The widest and the narrowest box that a view shows, as width : height. */
const aspect = [3 / 4, 4 / 3] as const;
/** How often a box is drawn anew that would not lie in its slice; after that, the whole slice is taken. */
const tries = 10;

/** What is known of an image's intensities. */
export interface Intensities {
  mean: number;
  deviation: number;
}

/**
 * A box of a slice [height, width] with a share of its area in `scale` (a random resized crop, as DINO draws it), left
 * and right exchanged half of the time. Its intensities x become m + g (x - m) + o d, with m and d the image's mean and
 * standard deviation, g in 1 ± `jitter` and o in ± `jitter` / 2.
 */
export function drawView(
  place: { volume: number; slice: number },
  [height, width]: readonly [number, number],
  scale: readonly [number, number],
  jitter: number,
  { mean, deviation }: Intensities,
  draw: RandomStream,
): Required<SliceCrop> {
  const flipped = draw.uniform() < 0.5;
  const gain = draw.between(1 - jitter, 1 + jitter);
  const offset = mean * (1 - gain) + deviation * draw.between(-jitter / 2, jitter / 2);
  const look = { flipped, gain, offset };
  for (let attempt = 0; attempt < tries; attempt++) {
    const area = height * width * draw.between(...scale);
    const ratio = Math.exp(draw.between(Math.log(aspect[0]), Math.log(aspect[1])));
    const [tall, wide] = [
      Math.max(1, Math.round(Math.sqrt(area / ratio))),
      Math.max(1, Math.round(Math.sqrt(area * ratio))),
    ];
    if (tall > height || wide > width) continue;
    const [top, left] = [draw.integer(0, height - tall), draw.integer(0, width - wide)];
    return { ...place, top, left, height: tall, width: wide, ...look };
  }
  return { ...place, top: 0, left: 0, height, width, ...look };
}

/** Height and width of views in pixels: whole patches; a local view is about 0.43 of a global one, as in DINO (96 of 224). */
export function viewSizes(
  [height, width]: readonly [number, number],
  patch: number,
): { global: [number, number]; local: [number, number] } {
  const whole = (extent: number, share: number, round: (value: number) => number) =>
    patch * Math.max(1, round((extent * share) / patch));
  return {
    global: [whole(height, 1, Math.ceil), whole(width, 1, Math.ceil)],
    local: [whole(height, 96 / 224, Math.round), whole(width, 96 / 224, Math.round)],
  };
}

/** A case, which of its slices show a lesion, and the intensities of its T2W. */
export interface SlicedCase extends Intensities {
  volumes: CaseVolumes;
  sees: Sees;
  lesionSlices: readonly number[];
}

/** Looks through a case; one without a mask has no slice with a lesion. */
export async function slicedCase(volumes: CaseVolumes, sees: Sees = seenOfProstate): Promise<SlicedCase> {
  const { images, mask: role } = sees;
  using image = await volumes.load(images[0], "cpu");
  const { mean, standardDeviation: deviation } = await statistics(image);
  if (role === null || !volumes.roles.includes(role))
    return { volumes, sees, lesionSlices: [], mean, deviation };
  using mask = await loadForeground(volumes, role);
  const sums = await mask.sliceSums();
  const lesionSlices = sums.flatMap((sum, slice) => (sum > 0 ? [slice] : []));
  return { volumes, sees, lesionSlices, mean, deviation };
}

/** A slice of a case: half of the time one that shows a lesion, where there is one and it is looked for. */
function drawSlice(
  { lesionSlices }: SlicedCase,
  depth: number,
  wantsLesions: boolean,
  draw: RandomStream,
): number {
  const fromLesions = draw.uniform() < 0.5 && wantsLesions && lesionSlices.length > 0;
  return fromLesions ? draw.pick(lesionSlices) : draw.integer(0, depth - 1);
}

/**
 * Makes a network with fresh weights begin as if its images had mean 0 and standard deviation 1 over these cases, though
 * it goes on seeing them as they are: the patch embedding W x + b becomes W (x - mean) / deviation + b. From images in
 * [0, 1], whose mean is far from 0, all class tokens start alike, and self-distillation on few cases ends with a teacher
 * that says nothing.
 */
export async function standardiseInput(network: PlacedNetwork, cases: readonly Intensities[]): Promise<void> {
  const { mean, deviation } = together(cases);
  const [weightName, biasName] = ["weight", "bias"].map((part) => `backbone.patch_embed.proj.${part}`) as [
    string,
    string,
  ];
  const state = await network.state();
  try {
    const { [weightName]: weight, [biasName]: bias } = state;
    if (!weight || !bias) throw expected("a vision transformer over slices", "network", network.spec);
    using scaled = await Tensor.combine([[1 / deviation, weight]]); // [E, C, patch, patch]
    const values = (await scaled.toArray()) as Float32Array;
    const offsets = (await bias.toArray()) as Float32Array;
    const perFeature = values.length / offsets.length;
    const moved = offsets.map(
      (offset, feature) =>
        offset -
        mean * values.subarray(feature * perFeature, (feature + 1) * perFeature).reduce((a, b) => a + b, 0),
    );
    using shifted = Tensor.from(moved, bias.shape, network.device);
    await network.assign({ [weightName]: scaled, [biasName]: shifted });
  } finally {
    for (const tensor of Object.values(state)) tensor.dispose();
  }
}

/** Mean and standard deviation over all voxels of some cases, which all have as many. */
function together(cases: readonly Intensities[]): Intensities {
  const average = (of: (one: Intensities) => number) =>
    cases.reduce((sum, one) => sum + of(one), 0) / cases.length;
  const mean = average((one) => one.mean);
  const deviation = Math.sqrt(Math.max(0, average((one) => one.deviation ** 2 + one.mean ** 2) - mean ** 2));
  if (deviation > 0) return { mean, deviation };
  throw new TransferLimitsError(
    "BAD_MANIFEST",
    "Expected T2W images with different values to pretrain on, but all their voxels are equal",
  );
}

/**
 * The views of a step: some slices of T2W of each case, two global views of each and the local ones, with the lesion
 * masks of the global ones. `draws[i]` is the stream from which everything about case i is drawn.
 */
export async function sliceViews(
  cases: readonly SlicedCase[],
  draws: readonly RandomStream[],
  encoder: { channels: number; patch: number; takesPosition: boolean },
  settings: SelfDistillationSettings,
): Promise<SliceViews> {
  const batch = await contrastBatch(
    cases.map(({ volumes }) => volumes),
    (index) => (cases[index] as SlicedCase).lesionSlices.length > 0,
    cases[0]?.sees,
  );
  using input = batch.input; // [N, 1, D, H, W]
  using lesions = batch.target;
  const made: Tensor[] = [];
  const make = (tensor: Tensor) => {
    made.push(tensor);
    return tensor;
  };
  try {
    const [depth, height, width] = input.shape.slice(2) as [number, number, number];

    const slices = cases.flatMap((one, volume) => {
      const draw = draws[volume] as RandomStream;
      return Array.from({ length: settings.slices }, () => {
        const slice = drawSlice(one, depth, settings.contrastWeight > 0, draw);
        const views = (count: number, scale: readonly [number, number]) =>
          Array.from({ length: count }, () =>
            drawView({ volume, slice }, [height, width], scale, settings.intensityJitter, one, draw),
          );
        return {
          global: views(2, settings.globalScale),
          local: views(settings.localViews, settings.localScale),
        };
      });
    });
    const byView = (kind: "global" | "local", count: number) =>
      Array.from({ length: count }, (_, view) =>
        slices.map((slice) => slice[kind][view] as Required<SliceCrop>),
      ).flat();
    const positionOf = (crops: readonly SliceCrop[]): Tensor | null =>
      !encoder.takesPosition
        ? null
        : make(
            Tensor.from(
              Float32Array.from(crops.flatMap(({ slice }) => [slice, depth])),
              [crops.length, 2],
              input.device,
            ),
          );
    const sizes = viewSizes([height, width], encoder.patch);
    const global = byView("global", 2);
    const local = byView("local", settings.localViews);
    const adjacent = encoder.channels;
    const views = {
      slices: slices.length,
      global: make(await cropSlices(input, global, { size: sizes.global, adjacent })),
      lesion: make(await cropSlices(lesions, global, { size: sizes.global, mask: true })),
      local:
        local.length === 0 ? null : make(await cropSlices(input, local, { size: sizes.local, adjacent })),
      globalPosition: positionOf(global),
      localPosition: local.length === 0 ? null : positionOf(local),
    };
    return {
      ...views,
      [Symbol.dispose]() {
        for (const tensor of made) tensor.dispose();
      },
    };
  } catch (error) {
    for (const tensor of made) tensor.dispose();
    throw error;
  }
}
