import { Tensor } from "../../native/tensor.js";
import type { Sampler } from "./sampler.js";

/**
 * Denoising diffusion implicit models (Song et al. 2021, equation 12). `eta` scales the deviation of the noise that is
 * drawn on the way (equation 16): with 0 nothing is drawn, with 1 it is the posterior's, as in ancestral sampling.
 */
export const ddim: Sampler = async ({ schedule, t, s, image, noise, eta, draw }) => {
  const [barT, barS] = [schedule.alphaBar[t] as number, schedule.alphaBar[s] as number];
  const deviation = eta * Math.sqrt(((1 - barS) / (1 - barT)) * (1 - barT / barS));
  const kept: [number, Tensor][] = [
    [schedule.signal[s] as number, image],
    [Math.sqrt(1 - barS - deviation ** 2), noise],
  ];
  if (deviation === 0) return Tensor.combine(kept); // also at s = 0, the image itself
  using fresh = await draw();
  return Tensor.combine([...kept, [deviation, fresh]]);
};
