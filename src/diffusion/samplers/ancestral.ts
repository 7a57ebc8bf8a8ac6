import { Tensor } from "../../native/tensor.js";
import type { Sampler } from "./sampler.js";

/**
 * Ancestral sampling (Ho et al. 2020, equations 6 and 7) over a subset of the time steps (Nichol & Dhariwal 2021): a
 * draw from q(x_s | x_t, image), whose variance is the posterior's.
 */
export const ancestral: Sampler = async ({ schedule, t, s, noisy, image, draw }) => {
  const [barT, barS] = [schedule.alphaBar[t] as number, schedule.alphaBar[s] as number];
  const alpha = barT / barS;
  const deviation = Math.sqrt(((1 - alpha) * (1 - barS)) / (1 - barT));
  const mean: [number, Tensor][] = [
    [(Math.sqrt(barS) * (1 - alpha)) / (1 - barT), image],
    [(Math.sqrt(alpha) * (1 - barS)) / (1 - barT), noisy],
  ];
  if (s === 0) return Tensor.combine(mean);
  using fresh = await draw();
  return Tensor.combine([...mean, [deviation, fresh]]);
};
