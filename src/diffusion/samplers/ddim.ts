import { Tensor } from "../../native/tensor.js";
import type { Sampler } from "./sampler.js";

/** Denoising diffusion implicit models (Song et al. 2021, equation 12 with eta 0): nothing is drawn on the way. */
export const ddim: Sampler = ({ schedule, s, image, noise }) =>
  Tensor.combine([
    [schedule.signal[s] as number, image],
    [schedule.noise[s] as number, noise],
  ]);
