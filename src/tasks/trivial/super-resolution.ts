import { Tensor } from "../../native/tensor.js";
import type { SuperResolutionOptions } from "../super-resolution.js";
import { type Interpolation, interpolateSlices } from "./slice-interpolation.js";
import type { Trivial, TrivialAnswer } from "./trivial.js";
import { shownImage } from "./voxels.js";

/** Super-resolution by interpolation of the missing slices, linear and cubic. Intensities stay within [0, 1], as T2W does. */
export const trivialSuperResolution = ({
  downsampling,
}: Pick<SuperResolutionOptions, "downsampling">): Trivial => {
  // In the middle of the two slices that it is the mean of, or where the one lies that was kept.
  const first = downsampling === "average" ? 0.5 : 0;
  const by = (method: Interpolation): TrivialAnswer => ({
    name: `${method} interpolation`,
    answer: async (_volumes, input) => {
      const { voxels, shape } = await shownImage(input);
      const [depth, height, width] = shape;
      const fine = interpolateSlices(voxels, depth, first, method);
      using volume = Tensor.from(fine, [1, 1, 2 * depth, height, width]);
      return volume.clamp(0, 1);
    },
  });
  return { name: "interpolation", fit: async () => [by("linear"), by("cubic")] };
};
