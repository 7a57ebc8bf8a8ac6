import type { Trivial, TrivialAnswer } from "./trivial.js";
import { asAnswer, firstChannel } from "./voxels.js";

/** The image that is shown, by which nothing is done. */
export const inputAsItIs: TrivialAnswer = {
  name: "the input as it is",
  async answer(_volumes, input) {
    using image = await firstChannel(input);
    return await asAnswer(image);
  },
};

/** Distortion correction by doing nothing: the distorted image is the answer. */
export const trivialDistortionCorrection = (): Trivial => ({
  name: "input",
  fit: async () => [inputAsItIs],
});
