import { mean, sampleStandardDeviation } from "simple-statistics";
import { z } from "zod";
import type { CaseFacts, CaseVolumes } from "../cohort/case-volumes.js";
import { lackOf, type Need, wordsOfColumn } from "../cohort/needs.js";
import { prostateColumns } from "../cohort/presets/prostate.js";
import type { RandomStream } from "../common/random.js";
import type { TaskName } from "../common/vocabulary.js";
import { ssim3d } from "../native/kernels.js";
import type { IntensityOutput } from "../native/network-spec.js";
import { Tensor } from "../native/tensor.js";
import type { LossSpec } from "../native/trainer.js";
import type { FoundInCase } from "./drawn-metrics.js";
import { type ExpectedSpread, spreadOfSsim } from "./expected-spreads.js";
import type { PreparedAs, TaskFault } from "./faults.js";
import { floorFromZero } from "./floors.js";

/** Channels of the input that the task has by itself, channels of the output, and slices out for each slice in. */
export interface TaskShape {
  /** `voxels`: the answer is a volume; `classes`: one logit a class, of which there are `outputs`. */
  answers: "voxels" | "classes";
  channels: number;
  outputs: number;
  depthScale: 1 | 2;
  /** The last of the channels is constant and holds a time step in [0, 1], which a diffusion U-Net needs. */
  timed?: true;
  /** Of `classes`: the one output is a number, no class. */
  numeric?: true;
  /**
   * Where a foundation model answers as in segmentation, by a softmax over intensity bins whose expectation is the
   * answer; undefined where it answers with the intensity itself.
   */
  intensities?: IntensityOutput;
}

/**
 * What a network is shown and what it should answer: input [C, D, H, W], target [outputs, depthScale * D, H, W], or
 * the class, int64 [1].
 */
export interface Sample extends Disposable {
  input: Tensor;
  target: Tensor;
  /** What a test case's answer is compared with, where that is not what training aims at. */
  reference?: Tensor;
}

/** One axial slice of a case for the report: each [H, W]. */
export interface Picture extends Disposable {
  /** The slice's index in the target. */
  slice: number;
  input: Tensor;
  target: Tensor;
  prediction: Tensor;
}

/** How a case was answered. */
export interface Judgement {
  /**
   * The metric of this case, null where it is undefined for it; for a metric that only a set of cases has, the score that
   * it is computed from.
   */
  value: number | null;
  /** Where there was nothing to be found, and the metric is undefined for that: whether something was found all the same. */
  falseAlarm?: boolean;
  /** Where the task is to tell classes apart: the case's class and the one that was answered. */
  truth?: number;
  predicted?: number;
  /** Where some classes count as positive: whether the case's does. */
  positive?: boolean;
  /** Where lesions are detected: the candidates that count, and how many lesions there are. */
  found?: FoundInCase;
  /** Where the answer is a number: the case's own and the answered one, in the label's unit. */
  number?: { truth: number; answered: number };
  /** Further measures of this case by name; null where one is undefined for it. */
  parts?: Record<string, number | null>;
}

/** The metric over a set of cases, and whatever else is worth reporting. */
export interface Assessment {
  /** Null where the cases leave it undefined. */
  value: number | null;
  /** Why it is null, said of the set of cases, such as "it has no negative case"; only there. */
  reason?: string;
  /** Sample standard deviation over cases; null for a metric that only the set has. */
  standardDeviation: number | null;
  /** Secondary metrics by name; null where the cases leave one undefined. */
  secondary: Record<string, number | null>;
  /** `confusion[true class][answered class]`: how many cases; for a task that tells classes apart. */
  confusion?: number[][];
  /** The names of these classes. */
  classes?: string[];
}

/** What a task asks a network, batch by batch: input [N, C, D, H, W] to the network's own output. */
export type Forward = (input: Tensor) => Promise<Tensor>;

/**
 * A downstream task: how a case becomes a sample, by which loss a network learns it and by which metric it is judged.
 * It knows neither networks nor training.
 */
export interface Task {
  /** What the study calls it. */
  readonly name: TaskName;
  readonly shape: TaskShape;
  /** The task with what it takes from the training set, such as the unit of its answers; absent where it takes nothing. */
  onTraining?(training: readonly CaseVolumes[]): Task;
  /** The loss, which may depend on what the training set holds (class weights). */
  loss(training: readonly CaseVolumes[]): LossSpec;
  /** The probability that a network whose head is fresh answers with, voxel by voxel; as its weights are drawn, where absent. */
  readonly prior?: number;
  /** Larger is better. */
  readonly metric: string;
  /** How much the difference of two models in it scatters, where that is not as of the kind's own metric. */
  readonly spread?: ExpectedSpread;
  /** What must be reached before anything counts as learnt, where that is not as of the kind's own metric. */
  readonly floor?: number;
  /** What target and prediction are in pictures; null for a task without any. */
  readonly pictures: "mask" | "image" | null;
  /** The columns of the manifest that a case must have to take part. */
  readonly needs: readonly Need[];
  /** Labels that it looks at beside those that it needs: it is shown no others. */
  readonly alsoReads?: readonly string[];
  /** Why a case cannot take part; null where it can. Follows from `needs`. */
  missing(one: CaseFacts): string | null;
  /**
   * What chance decides about a sample: nothing; something about what the network is shown, of which a few draws can
   * stand for all; or the noise of a diffusion, which is what the network learns, so that none can be left out.
   */
  readonly chance: "none" | "input" | "noise";
  /**
   * Which image of the case each of the `channels` of an input shows, counted from 0; null for a channel that shows none:
   * zeros, the noisy image of a diffusion and its time step.
   */
  imagesShown(channels: number): (number | null)[];
  /**
   * The sample of a case, for a network that takes `channels`. What the task leaves to chance is drawn from `draw`:
   * the same stream gives the same sample.
   */
  sample(volumes: CaseVolumes, channels: number, draw: RandomStream): Promise<Sample>;
  /**
   * The answer to a test case, where it takes more than one question to the network, such as sampling from a diffusion
   * model. Without it, the answer is the network's to the sample's input. `draw` is the case's own stream.
   */
  answer?(forward: Forward, sample: Sample, draw: RandomStream, signal: AbortSignal): Promise<Tensor>;
  /** Questions to the network that one answer takes; 1 where it is not given. */
  readonly questions?: number;
  /** How each sample of a batch was answered: prediction (the network's answer) and target, both with N in front; `spacing` of voxels in mm, [D, H, W]. */
  judge(prediction: Tensor, target: Tensor, spacing?: CaseVolumes["spacing"]): Promise<Judgement[]>;
  /** Why the metric of a set of such cases cannot be computed, whatever is answered; null, or absent, where it can. */
  undefinedOn?(cases: readonly CaseFacts[]): string | null;
  /** The metric over the cases of a set, of which there is at least one. */
  assess(judgements: readonly Judgement[], cases: readonly CaseFacts[]): Assessment;
  /** The slice of a sample that shows most, with the network's answer [1, outputs, D, H, W] to it. */
  picture(sample: Sample, prediction: Tensor): Promise<Picture>;
}

/** What a task needs of a case, and why one that lacks it cannot take part. */
export const needing = (...needs: readonly Need[]): Pick<Task, "needs" | "missing"> => ({
  needs,
  missing: (facts) => lackOf(needs, facts),
});

/** The values of the cases for which a metric is defined. */
export const definedValues = (judgements: readonly Judgement[]): number[] =>
  judgements.flatMap(({ value }) => value ?? []);

/**
 * The assessment of a metric that a case has by itself: the mean over the cases that have it, and their standard deviation.
 *
 * @param reason why the metric is undefined where no case has it, said of the set of cases
 */
export function meanOverCases(
  judgements: readonly Judgement[],
  secondary: Assessment["secondary"] = {},
  reason = "it is undefined for each of its cases",
): Assessment {
  const values = definedValues(judgements);
  if (values.length === 0) return { value: null, reason, standardDeviation: null, secondary };
  const deviation = values.length === 1 ? 0 : sampleStandardDeviation(values);
  return { value: mean(values), standardDeviation: deviation, secondary };
}

/** What tasks share whose answer is an image in [0, 1]: SSIM with a data range of 1, a number of every case. */
export const judgedBySsim = {
  metric: "SSIM",
  pictures: "image",
  async judge(prediction, target) {
    return (await ssim3d(prediction, target, 1)).map((value) => ({ value }));
  },
  assess: (judgements) => meanOverCases(judgements),
} as const satisfies Pick<Task, "metric" | "pictures" | "judge" | "assess">;

/** What such a task declares of its metric. */
export const ssimMetric = {
  name: judgedBySsim.metric,
  better: "higher",
  floor: floorFromZero,
  margin: 0.01,
  spread: spreadOfSsim,
} as const;

/** SSIM looks through windows of this edge. */
const ssimWindow = 11;

/** What SSIM wants of images: room for its window, and intensities in [0, 1]. */
export function ssimFaults(
  kind: TaskName,
  { voxels, normalise, columns }: PreparedAs,
  image: string = "t2w",
): TaskFault[] {
  const tooSmall = voxels.flatMap((extent, axis) =>
    extent >= ssimWindow
      ? []
      : {
          of: "cohort" as const,
          path: ["voxels", axis],
          message: `expected at least ${ssimWindow}, the window of SSIM, which ${kind} is judged by, but received ${extent}`,
        },
  );
  return [...tooSmall, ...intensityFaults(kind, { normalise, columns }, image)];
}

/** An image that is compared in [0, 1] must be brought there. */
export function intensityFaults(
  kind: TaskName,
  { normalise, columns }: Pick<PreparedAs, "normalise" | "columns">,
  image: string,
): TaskFault[] {
  if (normalise[image]?.kind !== "z-score") return [];
  const path =
    columns === prostateColumns
      ? ["normalise", image, "kind"]
      : ["columns", "images", image, "normalise", "kind"];
  const words = wordsOfColumn(image)
    .replace(/ volume$/, "")
    .replace(/image$/, "images");
  const message = `expected "percentiles" or "range", as ${kind} compares ${words} in [0, 1], but received "z-score"`;
  return [{ of: "cohort", path, message }];
}

/** Cases that a step needs: classifiers have batch norm, which a batch of one leaves without a variance. */
export const smallestBatch = ({ answers }: TaskShape): number => (answers === "classes" ? 2 : 1);

/** In a study file: the channels repeated in turn, or zeros. */
export const channelFill = z.enum(["repeat", "zeros"]).default("repeat");
/** How a network that takes more channels than a task has is fed: `repeat` or `zeros`. @useDeclaredType */
export type ChannelFill = z.infer<typeof channelFill>;

/** Which of `own` volumes each of the `channels` of an input holds, counted from 0; null: zeros. */
export const filledChannels = (own: number, channels: number, fill: ChannelFill): (number | null)[] =>
  Array.from({ length: channels }, (_, channel) =>
    channel < own || fill === "repeat" ? channel % own : null,
  );

/** Stacks volumes [D, H, W] to an input [channels, D, H, W]. */
export async function stackChannels(
  volumes: readonly Tensor[],
  channels: number,
  fill: ChannelFill,
): Promise<Tensor> {
  const held = filledChannels(volumes.length, channels, fill);
  if (!held.includes(null)) return Tensor.gather(volumes, held as number[]);
  using zeros = await (volumes[0] as Tensor).threshold(Number.POSITIVE_INFINITY);
  return Tensor.gather(
    [...volumes, zeros],
    held.map((volume) => volume ?? volumes.length),
  );
}

/** The sample of an input, which it takes over, and the volume [D, H, W] that is to be answered. */
export async function sampleOf(input: Tensor, target: Tensor): Promise<Sample> {
  try {
    return disposable({ input, target: await Tensor.gather([target], [0]) });
  } catch (error) {
    input.dispose();
    throw error;
  }
}

/** A sample or a picture that disposes of its tensors. */
export const disposable = <T extends object>(parts: T): T & Disposable => ({
  ...parts,
  [Symbol.dispose]() {
    for (const part of Object.values(parts)) {
      if (typeof part === "object" && part !== null && Symbol.dispose in part)
        (part as Disposable)[Symbol.dispose]();
    }
  },
});

/** The slice in the middle of what is wanted. */
const middleSlice = (_: Tensor, target: Tensor): number => Math.floor((target.shape[0] as number) / 2);

/**
 * One slice of an image that was shown, of the one that was wanted, and of the one that was answered.
 *
 * @param prediction [1, 1, D, H, W]
 * @param sliceOf which slice of the target, from the first channel of both, [D, H, W]
 * @param shownAt which slice of the input shows the same place
 */
export async function imagePicture(
  sample: Pick<Sample, "input" | "target">,
  prediction: Tensor,
  sliceOf: (input: Tensor, target: Tensor) => number | Promise<number> = middleSlice,
  shownAt = (slice: number): number => slice,
): Promise<Picture> {
  using target = await sample.target.select(0, 0); // [D, H, W]
  using input = await sample.input.select(0, 0);
  const slice = await sliceOf(input, target);
  using answer = await prediction.select(0, 0); // [1, D, H, W]
  using answerVolume = await answer.select(0, 0);
  return disposable({
    slice,
    input: await input.select(0, shownAt(slice)),
    target: await target.select(0, slice),
    prediction: await answerVolume.select(0, slice),
  });
}
