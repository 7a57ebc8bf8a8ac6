import { expected } from "../common/errors.js";

/** `linear` as of Ho et al. 2020, `cosine` as of Nichol & Dhariwal 2021. */
export type NoiseScheduleName = "linear" | "cosine";

/**
 * How a diffusion process turns an image into noise over T steps: x_t = signal[t] x_0 + noise[t] e with e ~ N(0, 1).
 * Every array has T + 1 elements, and index t is the time: t = 0 is the image itself, t = T nearly pure noise.
 */
export interface NoiseSchedule {
  /** As it was asked for. */
  readonly name: NoiseScheduleName;
  /** T. */
  readonly steps: number;
  /** The variance of the noise that step t adds; 0 at t = 0. */
  readonly betas: Float64Array;
  /** The product of 1 - beta over steps 1..t. */
  readonly alphaBar: Float64Array;
  /** sqrt(alphaBar). */
  readonly signal: Float64Array;
  /** sqrt(1 - alphaBar). */
  readonly noise: Float64Array;
  /** The logarithm of the signal-to-noise ratio, log(alphaBar / (1 - alphaBar)); infinite at t = 0. */
  readonly logSnr: Float64Array;
}

/** The cosine schedule's offset, which keeps the first steps from being too small (Nichol & Dhariwal 2021). */
const COSINE_OFFSET = 0.008;
const LARGEST_BETA = 0.999;

/** Beta of step t = 1..T, equally spaced from 1e-4 to 0.02 at T = 1000 (Ho et al. 2020), scaled by 1000 / T. */
function linearBeta(t: number, steps: number): number {
  const scale = 1000 / steps;
  const low = 1e-4 * scale;
  const high = 0.02 * scale;
  return Math.min(LARGEST_BETA, steps === 1 ? high : low + ((high - low) * (t - 1)) / (steps - 1));
}

/** Beta of step t = 1..T of Nichol & Dhariwal 2021, equation 17. */
function cosineBeta(t: number, steps: number): number {
  const level = (time: number) =>
    Math.cos(((time / steps + COSINE_OFFSET) / (1 + COSINE_OFFSET)) * (Math.PI / 2)) ** 2;
  return Math.min(LARGEST_BETA, 1 - level(t) / level(t - 1));
}

/**
 * The noise schedule of that name with T = `steps` steps. Betas are at most 0.999, so that some signal always remains.
 *
 * @throws `BAD_INPUT` when `steps` is not a whole number from 1 to 100000, or the name is not known.
 */
export function noiseSchedule(name: NoiseScheduleName, steps: number): NoiseSchedule {
  if (name !== "linear" && name !== "cosine") throw expected('"linear" or "cosine"', "schedule", name);
  if (!Number.isSafeInteger(steps) || steps < 1 || steps > 100_000) {
    throw expected("a whole number from 1 to 100000", "steps", steps);
  }
  const beta = name === "linear" ? linearBeta : cosineBeta;
  const betas = Float64Array.from({ length: steps + 1 }, (_, t) => (t === 0 ? 0 : beta(t, steps)));
  let product = 1;
  const alphaBar = betas.map((value) => {
    product *= 1 - value;
    return product;
  });
  return {
    name,
    steps,
    betas,
    alphaBar,
    signal: alphaBar.map(Math.sqrt),
    noise: alphaBar.map((level) => Math.sqrt(1 - level)),
    logSnr: alphaBar.map((level) => Math.log(level / (1 - level))),
  };
}

/** @throws `BAD_INPUT` for what `noiseSchedule` did not make */
export function requireSchedule(schedule: unknown): asserts schedule is NoiseSchedule {
  const { steps, signal, noise } = (schedule ?? {}) as Partial<NoiseSchedule>;
  const whole =
    Number.isSafeInteger(steps) && [signal, noise].every((list) => list?.length === Number(steps) + 1);
  if (!whole) throw expected("a schedule made by noiseSchedule", "schedule", schedule);
}
