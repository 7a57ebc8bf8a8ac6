import { expected } from "../common/errors.js";
import { Tensor } from "../native/tensor.js";
import type { NoiseSchedule } from "./schedule.js";

/**
 * What a network says of x_t = signal x_0 + deviation e: the noise e (Ho et al. 2020), the velocity signal e -
 * deviation x_0 (Salimans & Ho 2022), or the image x_0 itself. Each gives the two others.
 */
export const predictions = ["noise", "velocity", "image"] as const;
/** What a network says of a noisy image: its noise, its velocity, or the image in it. @useDeclaredType */
export type Prediction = (typeof predictions)[number];

type Weights = readonly [first: number, second: number];

/** How a prediction is made of image and noise, and how image and noise are told from x_t and the prediction. */
interface Relation {
  target(signal: number, deviation: number): Weights;
  image(signal: number, deviation: number): Weights;
  noise(signal: number, deviation: number): Weights;
}

const relations: Record<Prediction, Relation> = {
  noise: {
    target: () => [0, 1],
    image: (signal, deviation) => [1 / signal, -deviation / signal],
    noise: () => [0, 1],
  },
  velocity: {
    target: (signal, deviation) => [-deviation, signal],
    image: (signal, deviation) => [signal, -deviation],
    noise: (signal, deviation) => [deviation, signal],
  },
  image: {
    target: () => [1, 0],
    image: () => [0, 1],
    noise: (signal, deviation) => [1 / deviation, -signal / deviation],
  },
};

/** @throws `BAD_INPUT` for a prediction of another name */
export function checkPrediction(prediction: Prediction): void {
  if (!predictions.includes(prediction)) throw expected(predictions.join(", "), "prediction", prediction);
}

/** What a network should answer to x_t of that image and noise, as a new tensor. */
export const targetOf = (
  prediction: Prediction,
  schedule: NoiseSchedule,
  t: number,
  image: Tensor,
  noise: Tensor,
): Promise<Tensor> => weighted(relations[prediction].target, schedule, t, image, noise);

/** The image that x_t comes from by a network's prediction, as a new tensor. */
export const imageFrom = (
  prediction: Prediction,
  schedule: NoiseSchedule,
  t: number,
  noisy: Tensor,
  predicted: Tensor,
): Promise<Tensor> => weighted(relations[prediction].image, schedule, t, noisy, predicted);

/** The noise in x_t by a network's prediction, as a new tensor. */
export const noiseFrom = (
  prediction: Prediction,
  schedule: NoiseSchedule,
  t: number,
  noisy: Tensor,
  predicted: Tensor,
): Promise<Tensor> => weighted(relations[prediction].noise, schedule, t, noisy, predicted);

function weighted(
  weights: (signal: number, deviation: number) => Weights,
  schedule: NoiseSchedule,
  t: number,
  first: Tensor,
  second: Tensor,
): Promise<Tensor> {
  const [ofFirst, ofSecond] = weights(schedule.signal[t] as number, schedule.noise[t] as number);
  const parts: [number, Tensor][] = [
    [ofFirst, first],
    [ofSecond, second],
  ];
  return Tensor.combine(parts.filter(([weight]) => weight !== 0));
}
