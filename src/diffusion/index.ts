/** Denoising diffusion: noise schedules, noising, and sampling with a network that predicts noise, velocity or image. */
export { noised } from "./noising.js";
export { type Prediction, predictions } from "./prediction.js";
export { type SampleOptions, type SamplerName, sample } from "./sample.js";
export { type NoiseSchedule, type NoiseScheduleName, noiseSchedule } from "./schedule.js";
