import { loadForeground } from "../../cohort/case-volumes.js";
import { throwIfAborted } from "../../common/errors.js";
import { Tensor } from "../../native/tensor.js";
import { MeanMask } from "./mean-mask.js";
import type { Trivial } from "./trivial.js";
import { requireTraining, voxelsOf } from "./voxels.js";

/** Lesion segmentation without a look at the image: where most lesions of the training cases lie, on the crop's grid. */
export const trivialLesionSegmentation = (): Trivial => ({
  name: "mean-mask",
  async fit(training, signal) {
    requireTraining("lesion-segmentation", training);
    const mean = new MeanMask();
    for (const volumes of training) {
      throwIfAborted(signal);
      using lesion = await loadForeground(volumes, "lesion");
      mean.add(await voxelsOf(lesion));
    }
    const { atLeast } = mean.bestThreshold();
    // As logits: above 0 where enough of the masks agree.
    const logits = Float32Array.from(mean.counts, (count) => (count - atLeast + 0.5) / mean.masks);
    return [
      {
        name: "mean training mask",
        detail: `lesion in at least ${atLeast} of ${mean.masks} training cases`,
        answer: async (_volumes, input) => Tensor.from(logits, [1, 1, ...input.shape.slice(2)]),
      },
    ];
  },
});
