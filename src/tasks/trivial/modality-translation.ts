import { throwIfAborted } from "../../common/errors.js";
import { Tensor } from "../../native/tensor.js";
import { addPairs, binOf, fitMonotoneMap, noPairs } from "./monotone-map.js";
import type { Trivial } from "./trivial.js";
import { requireTraining, shownImage, voxelsOf } from "./voxels.js";

/** Modality translation by the best monotone map of T2W's intensities to those of the high-b image. */
export const trivialModalityTranslation = (): Trivial => ({
  name: "intensity-map",
  async fit(training, signal) {
    requireTraining("modality-translation", training);
    const pairs = noPairs();
    for (const volumes of training) {
      throwIfAborted(signal);
      using t2w = await volumes.load("t2w");
      using hbv = await volumes.load("hbv");
      addPairs(pairs, await voxelsOf(t2w), await voxelsOf(hbv));
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
