import { Tensor } from "../../native/tensor.js";
import type { NoiseSchedule } from "../schedule.js";
import type { Sampler } from "./sampler.js";

/** lambda: the logarithm of signal over noise, half the logarithm of the signal-to-noise ratio. */
const lambda = (schedule: NoiseSchedule, t: number): number => (schedule.logSnr[t] as number) / 2;

/**
 * DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): a multistep solver of second order in lambda that predicts the image.
 * The first step is of first order, for nothing came before it, and so is the last, at whose end lambda is infinite.
 */
export const dpmSolver: Sampler = ({ schedule, t, s, noisy, image, previous }) => {
  if (s === 0) return Tensor.combine([[1, image]]);
  const step = lambda(schedule, s) - lambda(schedule, t);
  const weight = -(schedule.signal[s] as number) * Math.expm1(-step);
  const kept: [number, Tensor] = [(schedule.noise[s] as number) / (schedule.noise[t] as number), noisy];
  if (previous === null) return Tensor.combine([kept, [weight, image]]);
  const ratio = (lambda(schedule, t) - lambda(schedule, previous.t)) / step;
  const further = 1 / (2 * ratio);
  return Tensor.combine([kept, [weight * (1 + further), image], [-weight * further, previous.image]]);
};
