import type { Tensor } from "../../native/tensor.js";
import type { NoiseSchedule } from "../schedule.js";

/** What a sampler knows when it goes from time t to the earlier time s. All tensors belong to the caller. */
export interface SamplerStep {
  schedule: NoiseSchedule;
  t: number;
  s: number;
  /** x_t. */
  noisy: Tensor;
  /** The image that x_t is predicted to come from. */
  image: Tensor;
  /** The noise in x_t, given that image. */
  noise: Tensor;
  /** The time before t, and the image that was predicted there; null at the first step. */
  previous: { t: number; image: Tensor } | null;
  /** Of DDIM, from 0 to 1; the others have none and pass over it. */
  eta: number;
  /** Fresh standard normal noise of the shape of x_t. */
  draw(): Promise<Tensor>;
}

/** Gives x_s as a new tensor. */
export type Sampler = (step: SamplerStep) => Promise<Tensor>;
