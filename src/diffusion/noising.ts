import { expected } from "../common/errors.js";
import { Tensor } from "../native/tensor.js";
import { type NoiseSchedule, requireSchedule } from "./schedule.js";

/** x_t = signal[t] image + noise[t] noise, as a new tensor (Ho et al. 2020, equation 4). */
export async function noised(
  schedule: NoiseSchedule,
  image: Tensor,
  noise: Tensor,
  t: number,
): Promise<Tensor> {
  requireSchedule(schedule);
  if (!(Number.isSafeInteger(t) && t >= 0 && t <= schedule.steps))
    throw expected(`a whole number from 0 to ${schedule.steps}`, "t", t);
  return Tensor.combine([
    [schedule.signal[t] as number, image],
    [schedule.noise[t] as number, noise],
  ]);
}
