import { expected } from "../common/errors.js";
import { Tensor } from "../native/tensor.js";
import { type NoiseSchedule, requireSchedule } from "./schedule.js";

/**
 * x_t = signal[t] image + noise[t] noise, as a new tensor (Ho et al. 2020, equation 4).
 *
 * @param image of any shape, on any device
 * @param noise standard normal, of the same shape and device
 * @param t the time: a whole number from 0, the image itself, to the schedule's steps
 * @throws `BAD_INPUT` for a time outside the schedule, or tensors that do not fit each other
 */
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
