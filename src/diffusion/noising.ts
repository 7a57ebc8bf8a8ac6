import { Tensor } from "../native/tensor.js";
import type { NoiseSchedule } from "./schedule.js";

/** x_t = signal[t] image + noise[t] noise, as a new tensor (Ho et al. 2020, equation 4). */
export const noised = (schedule: NoiseSchedule, image: Tensor, noise: Tensor, t: number): Promise<Tensor> =>
  Tensor.combine([
    [schedule.signal[t] as number, image],
    [schedule.noise[t] as number, noise],
  ]);
