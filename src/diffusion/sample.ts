import { requireOptions, requireShape, requireSignal, requireWhole } from "../common/arguments.js";
import { expected, throwIfAborted } from "../common/errors.js";
import { seedFor } from "../common/random.js";
import { isTensor, Tensor } from "../native/tensor.js";
import { checkPrediction, imageFrom, noiseFrom, type Prediction } from "./prediction.js";
import { ancestral } from "./samplers/ancestral.js";
import { ddim } from "./samplers/ddim.js";
import { dpmSolver } from "./samplers/dpm-solver.js";
import type { Sampler } from "./samplers/sampler.js";
import { type NoiseSchedule, requireSchedule } from "./schedule.js";

const samplers = { ancestral, ddim, "dpm-solver++": dpmSolver } as const satisfies Record<string, Sampler>;
/**
 * Ancestral sampling (Ho et al. 2020), DDIM (Song et al. 2021), or the second-order solver DPM-Solver++ (Lu et al. 2022),
 * which needs the fewest steps.
 *
 * @useDeclaredType
 */
export type SamplerName = keyof typeof samplers;

/** What is sampled, by which sampler, and how the network is asked. */
export interface SampleOptions {
  /** The one that the network was trained with. */
  schedule: NoiseSchedule;
  /** How it goes from one time to an earlier one. */
  sampler: SamplerName;
  /** Questions to the network, from 1 to the schedule's steps. */
  steps: number;
  /**
   * How much fresh noise DDIM draws on the way: from 0, none (default), to 1, as much as ancestral sampling (Song et al.
   * 2021, equation 16). The other samplers have no such choice.
   */
  eta?: number;
  /** Of the image, such as [N, C, D, H, W]. */
  shape: readonly number[];
  /** The same seed gives the same sample. */
  seed: number;
  /** Default `cpu`. */
  device?: string;
  /** What `predict` answers with. Default `noise`. */
  prediction?: Prediction;
  /** What the network says of `noisy` (of `shape`) at time t, from 1 to the schedule's steps; disposed of here. */
  predict(noisy: Tensor, t: number): Promise<Tensor>;
  /** The range that images lie in, to which predicted ones are held; null: none. Default null. */
  clip?: readonly [low: number, high: number] | null;
  /** Stops the work between two steps. */
  signal?: AbortSignal;
}

/**
 * Times to visit, from T down: T i / steps, rounded, for i from `steps` to 0. They are spaced evenly, and end at the
 * image itself.
 */
export const timesOf = (schedule: NoiseSchedule, steps: number): number[] =>
  Array.from({ length: steps + 1 }, (_, index) => Math.round((schedule.steps * (steps - index)) / steps));

/**
 * Samples an image from a diffusion model, starting from pure noise.
 *
 * @returns the image, of `shape`
 * @throws `BAD_INPUT` for impossible options, `ABORTED` when `signal` was aborted; nothing stays alive then
 */
export async function sample(options: SampleOptions): Promise<Tensor> {
  requireOptions(options);
  const { schedule, steps, shape, seed, device = "cpu", clip = null } = options;
  requireSchedule(schedule);
  requireShape(shape);
  requireWhole(seed, "seed");
  requireSignal(options.signal);
  if (typeof options.predict !== "function") throw expected("a function", "predict", options.predict);
  if (clip !== null && !(Array.isArray(clip) && clip.length === 2 && clip.every(Number.isFinite)))
    throw expected("[low, high] or null", "clip", clip);
  const [, sampler] = Object.entries<Sampler>(samplers).find(([name]) => name === options.sampler) ?? [];
  if (!sampler) throw expected(Object.keys(samplers).join(", "), "sampler", options.sampler);
  if (!Number.isSafeInteger(steps) || steps < 1 || steps > schedule.steps)
    throw expected(`a whole number from 1 to ${schedule.steps}`, "steps", steps);
  const { eta = 0 } = options;
  if (typeof eta !== "number" || !(eta >= 0 && eta <= 1)) throw expected("a number from 0 to 1", "eta", eta);
  if (options.eta !== undefined && options.sampler !== "ddim")
    throw expected("no eta, which ddim alone has,", `eta of ${options.sampler}`, eta);
  if (options.prediction !== undefined) checkPrediction(options.prediction);
  const times = timesOf(schedule, steps);
  let noisy = await Tensor.normal(shape, seedFor(seed, "sample", "start"), device);
  let previous: { t: number; image: Tensor } | null = null;
  try {
    for (let index = 0; index < steps; index++) {
      throwIfAborted(options.signal);
      const [t, s] = [times[index] as number, times[index + 1] as number];
      const { image, noise } = await predict(options, clip, noisy, t);
      try {
        const draw = () => Tensor.normal(shape, seedFor(seed, "sample", index), device);
        const next = await sampler({ schedule, t, s, noisy, image, noise, previous, eta, draw });
        noisy.dispose();
        noisy = next;
      } catch (error) {
        image.dispose();
        throw error;
      } finally {
        noise.dispose();
      }
      previous?.image.dispose();
      previous = { t, image };
    }
    return noisy;
  } catch (error) {
    noisy.dispose();
    throw error;
  } finally {
    previous?.image.dispose();
  }
}

/** The image that x_t comes from by the network's account, held to `clip`, and the noise that then is in it. */
async function predict(
  { schedule, prediction = "noise", predict }: SampleOptions,
  clip: SampleOptions["clip"],
  noisy: Tensor,
  t: number,
): Promise<{ image: Tensor; noise: Tensor }> {
  const answer: unknown = await predict(noisy, t);
  if (!isTensor(answer)) throw expected("a Tensor", "the answer of predict", answer);
  using predicted = answer;
  const image = await imageFrom(prediction, schedule, t, noisy, predicted);
  if (!clip) return withNoise(image, () => noiseFrom(prediction, schedule, t, noisy, predicted));
  using unclipped = image;
  const held = await unclipped.clamp(...clip);
  return withNoise(held, () => noiseFrom("image", schedule, t, noisy, held));
}

/** An image, which is disposed of where its noise cannot be had. */
async function withNoise(
  image: Tensor,
  noise: () => Promise<Tensor>,
): Promise<{ image: Tensor; noise: Tensor }> {
  try {
    return { image, noise: await noise() };
  } catch (error) {
    image.dispose();
    throw error;
  }
}
