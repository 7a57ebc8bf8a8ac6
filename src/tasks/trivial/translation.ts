import { throwIfAborted } from "../../common/errors.js";
import { Tensor } from "../../native/tensor.js";
import { addPairs, binOf, fitMonotoneMap, noPairs } from "./monotone-map.js";
import type { Trivial } from "./trivial.js";
import { requireTraining, shownImage, voxelsOf } from "./voxels.js";

/** One image to another by the best monotone map of the one's intensities to the other's. */
export const trivialTranslation = ({ name, from, to }: Record<"name" | "from" | "to", string>): Trivial => ({
  name: "intensity-map",
  async fit(training, signal) {
    requireTraining(name, training);
    const pairs = noPairs();
    for (const volumes of training) {
      throwIfAborted(signal);
      using shown = await volumes.load(from);
      using wanted = await volumes.load(to);
      addPairs(pairs, await voxelsOf(shown), await voxelsOf(wanted));
    }
    const { direction, values } = fitMonotoneMap(pairs);
    return [
      {
        name: "monotone intensity map",
        detail: direction,
        async answer(_volumes, input) {
          const { voxels, shape } = await shownImage(input);
          const answer = voxels.map((intensity) => values[binOf(intensity)] as number);
          return Tensor.from(answer, [1, 1, ...shape]);
        },
      },
    ];
  },
});
