import { Tensor } from "../../native/tensor.js";
import type { Trivial } from "./trivial.js";

/** Distortion correction by doing nothing: the distorted image is the answer. */
export const trivialDistortionCorrection = (): Trivial => ({
  name: "input",
  fit: async () => [
    {
      name: "the input as it is",
      answer: async (_volumes, input) => {
        using channels = await input.select(0, 0); // [C, D, H, W]
        using image = await channels.select(0, 0); // [D, H, W]
        using channel = await Tensor.gather([image], [0]);
        return Tensor.gather([channel], [0]);
      },
    },
  ],
});
