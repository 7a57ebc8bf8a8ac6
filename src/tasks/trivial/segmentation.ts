import { throwIfAborted } from "../../common/errors.js";
import { Tensor } from "../../native/tensor.js";
import { loadClasses, type Segmenting } from "../segmentation-classes.js";
import { MeanMask } from "./mean-mask.js";
import type { Trivial } from "./trivial.js";
import { requireTraining, voxelsOf } from "./voxels.js";

/**
 * Segmentation without a look at the image: where most masks of the training cases lie, on the crop's grid, class by class.
 *
 * @param found how what was fitted begins: `lesion in`
 */
export const trivialSegmentation = (what: Segmenting, found = `${what.mask} in`): Trivial => ({
  name: "mean-mask",
  async fit(training, signal) {
    requireTraining(what.name, training);
    const means = (what.classes ?? [null]).map(() => new MeanMask());
    for (const volumes of training) {
      throwIfAborted(signal);
      const masks = await loadClasses(volumes, what);
      try {
        for (const [index, mask] of masks.entries()) means[index]?.add(await voxelsOf(mask));
      } finally {
        for (const mask of masks) mask.dispose();
      }
    }
    const thresholds = means.map((mean) => mean.bestThreshold().atLeast);
    const voxels = means[0]?.counts.length ?? 0;
    // As logits: above 0 where enough of the masks agree.
    const logits = new Float32Array(means.length * voxels);
    for (const [index, mean] of means.entries())
      mean.counts.forEach((count, voxel) => {
        logits[index * voxels + voxel] = (count - (thresholds[index] as number) + 0.5) / mean.masks;
      });
    const words = thresholds.map((atLeast, index) => {
      const of = what.classes?.[index]?.name;
      return `${of === undefined ? found : `${of} in`} at least ${atLeast} of ${means[index]?.masks}`;
    });
    return [
      {
        name: "mean training mask",
        detail: `${words.join(", ")} training cases`,
        answer: async (_volumes, input) => Tensor.from(logits, [1, means.length, ...input.shape.slice(2)]),
      },
    ];
  },
});
