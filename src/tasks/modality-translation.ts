import { noised } from "../diffusion/noising.js";
import { type SamplerName, sample } from "../diffusion/sample.js";
import { type NoiseScheduleName, noiseSchedule } from "../diffusion/schedule.js";
import { Tensor } from "../native/tensor.js";
import {
  type ChannelFill,
  disposable,
  type Forward,
  judgedBySsim,
  stackChannels,
  type Task,
} from "./task.js";

export interface ModalityTranslationOptions {
  noiseSchedule: NoiseScheduleName;
  /** Time steps of the diffusion that is trained. */
  timeSteps: number;
  sampler: SamplerName;
  /** Questions to the network for one image, at most `timeSteps`. */
  samplingSteps: number;
  /** Weight of 1 - SSIM beside L1, both on the noise. The paper gives none. */
  ssimWeight: number;
  /** As in distortion correction, for the noise. */
  intensityBins: number | null;
  channelFill: ChannelFill;
}

/** Four standard deviations of noise to either side: what bins span, and the data range of SSIM on noise. */
const noiseRange = 4;

/**
 * Modality translation (task 5 of the paper): T2W to the high-b image by a denoising diffusion model (Ho et al. 2020).
 * The network sees T2W, the noisy high-b image (its intensities [0, 1] moved to [-1, 1]) and the time step t / T as a
 * constant channel, and predicts the noise; L1 + SSIM. The answer to a test case is sampled, moved back to [0, 1], and
 * judged by SSIM with a data range of 1.
 */
export function modalityTranslation(options: ModalityTranslationOptions): Task {
  const schedule = noiseSchedule(options.noiseSchedule, options.timeSteps);
  const { intensityBins: bins } = options;

  return {
    kind: "modality-translation",
    shape: {
      answers: "voxels",
      channels: 3,
      outputs: 1,
      depthScale: 1,
      timed: true,
      ...(bins === null ? {} : { intensities: { bins, low: -noiseRange, high: noiseRange } }),
    },
    loss: () => ({ kind: "l1-ssim", dataRange: 2 * noiseRange, ssimWeight: options.ssimWeight }),
    ...judgedBySsim,
    questions: options.samplingSteps,

    chance: "noise",
    missing({ roles }) {
      if (!roles.includes("t2w")) return "it has no T2W volume";
      return roles.includes("hbv") ? null : "it has no high-b image";
    },

    async sample(volumes, channels, draw) {
      const t = draw.integer(1, options.timeSteps);
      const seed = draw.integer(0, 2 ** 31 - 1);
      using t2w = await volumes.load("t2w");
      using highB = await volumes.load("hbv");
      using ones = await onesLike(highB);
      using image = await Tensor.combine([
        [2, highB],
        [-1, ones],
      ]);
      using noise = await Tensor.normal(image.shape, seed, image.device);
      using noisy = await noised(schedule, image, noise, t);
      using time = await Tensor.combine([[t / options.timeSteps, ones]]);
      const parts: Tensor[] = [];
      try {
        parts.push(await stackChannels([t2w, noisy, time], channels, options.channelFill));
        parts.push(await Tensor.gather([noise], [0]), await Tensor.gather([highB], [0]));
      } catch (error) {
        for (const part of parts) part.dispose();
        throw error;
      }
      const [input, target, reference] = parts as [Tensor, Tensor, Tensor];
      return disposable({ input, target, reference });
    },

    async answer(forward, { input }, draw, signal) {
      const [channels, ...shape] = input.shape as [number, number, number, number];
      using t2w = await input.select(0, 0);
      using ones = await onesLike(t2w);
      using image = await sample({
        schedule,
        sampler: options.sampler,
        steps: options.samplingSteps,
        shape,
        seed: draw.integer(0, 2 ** 31 - 1),
        device: input.device,
        clip: [-1, 1],
        signal,
        predictNoise: async (noisy, t) => {
          using time = await Tensor.combine([[t / options.timeSteps, ones]]);
          using question = await stackChannels([t2w, noisy, time], channels, options.channelFill);
          return ask(forward, question);
        },
      });
      using half = await Tensor.combine([
        [0.5, image],
        [0.5, ones],
      ]);
      using intensities = await half.clamp(0, 1);
      using channel = await Tensor.gather([intensities], [0]); // [1, D, H, W]
      return Tensor.gather([channel], [0]); // [1, 1, D, H, W]
    },

    async picture(one, prediction) {
      using reference = await (one.reference as Tensor).select(0, 0); // [D, H, W]
      const slice = Math.floor((reference.shape[0] as number) / 2);
      using t2w = await one.input.select(0, 0);
      using answer = await prediction.select(0, 0); // [1, D, H, W]
      using answerVolume = await answer.select(0, 0);
      return disposable({
        slice,
        input: await t2w.select(0, slice),
        target: await reference.select(0, slice),
        prediction: await answerVolume.select(0, slice),
      });
    },
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
