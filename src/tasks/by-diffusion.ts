import { z } from "zod";
import type { CaseVolumes } from "../cohort/case-volumes.js";
import type { RandomStream } from "../common/random.js";
import { section } from "../common/validation.js";
import { strategies } from "../common/vocabulary.js";
import { noised } from "../diffusion/noising.js";
import { type Prediction, predictions, targetOf } from "../diffusion/prediction.js";
import { sample } from "../diffusion/sample.js";
import { type NoiseSchedule, noiseSchedule } from "../diffusion/schedule.js";
import { Tensor } from "../native/tensor.js";
import type { OptionsOf } from "./definition.js";
import type { TaskFault } from "./faults.js";
import {
  type ChannelFill,
  disposable,
  type Forward,
  filledChannels,
  imagePicture,
  judgedBySsim,
  needing,
  type Sample,
  stackChannels,
  type Task,
} from "./task.js";
import { asAnswer } from "./trivial/voxels.js";

/** How a diffusion model is trained and sampled from. */
export const diffusionOptions = {
  noiseSchedule: z.enum(["cosine", "linear"]).default("cosine"),
  /** Time steps of the diffusion that is trained. */
  timeSteps: z.int().min(10).max(10_000).default(1000),
  /** What the network is to predict. */
  prediction: z.enum(predictions).default("noise"),
  sampler: z.enum(["ddim", "ancestral", "dpm-solver++"]).default("ddim"),
  /** Questions to the network for one image, at most `timeSteps`. */
  samplingSteps: z.int().min(1).max(1000).default(50),
  /** Weight of 1 - SSIM beside L1, both on what is predicted. The paper gives none. */
  ssimWeight: z.number().min(0).default(1),
  /** As in distortion correction, for what is predicted. */
  intensityBins: z.int().min(2).max(1024).nullable().default(32),
};

/** Of the tasks that can be learnt either way. */
export const eitherWay = {
  strategies: z
    .array(z.enum(strategies))
    .min(1)
    .default(["direct"])
    .describe(
      "how the task is learnt: by regression, by denoising diffusion, or both; [below](#a-task-by-diffusion)",
    ),
  diffusion: section(diffusionOptions).prefault({}),
};

export type DiffusionOptions = OptionsOf<typeof diffusionOptions> & { channelFill: ChannelFill };

/** Options of a diffusion that contradict each other; `path` leads to them. */
export function diffusionFaults(
  { samplingSteps, timeSteps }: Pick<DiffusionOptions, "samplingSteps" | "timeSteps">,
  path: PropertyKey[] = [],
): TaskFault[] {
  if (samplingSteps <= timeSteps) return [];
  const message = `expected at most the ${timeSteps} timeSteps but received ${samplingSteps}`;
  return [{ of: "task", path: [...path, "samplingSteps"], message }];
}

/** What is shown of a case, and the image that is to be made of it: both [D, H, W], intensities in [0, 1]. */
export interface ImagePair extends Disposable {
  condition: Tensor;
  image: Tensor;
}

/** A task that makes an image of an image of the same size, whatever the way in which it is learnt. */
export interface ImageTask extends Pick<Task, "name" | "needs"> {
  images(volumes: CaseVolumes, draw: RandomStream): Promise<ImagePair>;
  /** The slice that shows most; default: the middle one. */
  slice?(condition: Tensor, image: Tensor): Promise<number>;
}

/** The pair of an image, which it takes over, and the condition made of it. */
export async function imagePair(
  image: Tensor,
  condition: (image: Tensor) => Promise<Tensor>,
): Promise<ImagePair> {
  try {
    return disposable({ condition: await condition(image), image });
  } catch (error) {
    image.dispose();
    throw error;
  }
}

/**
 * How far what is predicted reaches to either side of 0, which bins span and half the data range of SSIM is: images lie
 * in [-1, 1], noise within four standard deviations, and so does the velocity, which is a part of each.
 */
const reach: Record<Prediction, number> = { noise: 4, velocity: 4, image: 1 };

/**
 * A task learnt by a denoising diffusion model (Ho et al. 2020). The network sees the condition, the noisy image (its
 * intensities [0, 1] moved to [-1, 1]) and the time step t / T as a constant channel, and predicts the noise (or what `prediction` says); L1 + SSIM.
 * The answer to a test case is sampled, moved back to [0, 1], and judged by SSIM with a data range of 1. The images are
 * drawn before anything else, so that a test case is the same one however the task is learnt.
 */
export function byDiffusion(task: ImageTask, options: DiffusionOptions): Task {
  // Made when it is first needed: who lays out a study asks for each task many times, and needs none.
  let made: NoiseSchedule | undefined;
  const scheduled = () => {
    made ??= noiseSchedule(options.noiseSchedule, options.timeSteps);
    return made;
  };
  const { intensityBins: bins, channelFill, timeSteps, prediction } = options;
  const range = reach[prediction];

  return {
    name: task.name,
    shape: {
      answers: "voxels",
      channels: 3,
      outputs: 1,
      depthScale: 1,
      timed: true,
      ...(bins === null ? {} : { intensities: { bins, low: -range, high: range } }),
    },
    loss: () => ({ kind: "l1-ssim", dataRange: 2 * range, ssimWeight: options.ssimWeight }),
    ...judgedBySsim,
    questions: options.samplingSteps,
    chance: "noise",
    ...needing(...task.needs),

    // The channels of a sample are the condition, the noisy image and the time step.
    imagesShown: (channels) =>
      filledChannels(3, channels, channelFill).map((channel) => (channel === 0 ? 0 : null)),

    async sample(volumes, channels, draw) {
      using pair = await task.images(volumes, draw);
      const { condition, image } = pair;
      const t = draw.integer(1, timeSteps);
      const seed = draw.integer(0, 2 ** 31 - 1);
      using ones = await onesLike(image);
      using centred = await Tensor.combine([
        [2, image],
        [-1, ones],
      ]);
      using noise = await Tensor.normal(image.shape, seed, image.device);
      using noisy = await noised(scheduled(), centred, noise, t);
      using target = await targetOf(prediction, scheduled(), t, centred, noise);
      using time = await Tensor.combine([[t / timeSteps, ones]]);
      const parts: Tensor[] = [];
      try {
        parts.push(await stackChannels([condition, noisy, time], channels, channelFill));
        parts.push(await Tensor.gather([target], [0]), await Tensor.gather([image], [0]));
      } catch (error) {
        for (const part of parts) part.dispose();
        throw error;
      }
      const [input, wanted, reference] = parts as [Tensor, Tensor, Tensor];
      return disposable({ input, target: wanted, reference });
    },

    async answer(forward, { input }, draw, signal) {
      const [channels, ...shape] = input.shape as [number, number, number, number];
      using condition = await input.select(0, 0);
      using ones = await onesLike(condition);
      using centred = await sample({
        schedule: scheduled(),
        sampler: options.sampler,
        steps: options.samplingSteps,
        shape,
        seed: draw.integer(0, 2 ** 31 - 1),
        device: input.device,
        clip: [-1, 1],
        signal,
        prediction,
        predict: async (noisy, t) => {
          using time = await Tensor.combine([[t / timeSteps, ones]]);
          using question = await stackChannels([condition, noisy, time], channels, channelFill);
          return ask(forward, question);
        },
      });
      using half = await Tensor.combine([
        [0.5, centred],
        [0.5, ones],
      ]);
      using intensities = await half.clamp(0, 1);
      return await asAnswer(intensities);
    },

    picture: ({ input, reference }: Sample, prediction) =>
      imagePicture({ input, target: reference as Tensor }, prediction, task.slice),
  };
}

/** The network's answer [D, H, W] to one input [C, D, H, W]. */
async function ask(forward: Forward, question: Tensor): Promise<Tensor> {
  using batch = await Tensor.gather([question], [0]);
  using answer = await forward(batch); // [1, 1, D, H, W]
  using first = await answer.select(0, 0);
  return first.select(0, 0);
}

const onesLike = (tensor: Tensor): Promise<Tensor> => tensor.threshold(Number.NEGATIVE_INFINITY);
