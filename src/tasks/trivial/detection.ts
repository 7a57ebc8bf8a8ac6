import { throwIfAborted } from "../../common/errors.js";
import { Tensor } from "../../native/tensor.js";
import { loadClasses } from "../segmentation-classes.js";
import { statisticsOfCase } from "./intensity-statistics.js";
import { logisticRegression, standardiser } from "./logistic-regression.js";
import { MeanMask } from "./mean-mask.js";
import type { Trivial } from "./trivial.js";
import { requireTraining, voxelsOf } from "./voxels.js";

/**
 * Lesions without a network: how often the training cases have one at each voxel of the crop's grid; and the same moved up or
 * down for a case by what its intensities say of whether it has any.
 */
export const trivialDetection = (what: {
  name: string;
  images: readonly [string, ...string[]];
  mask: string;
}): Trivial => ({
  name: "mean-mask",
  async fit(training, signal) {
    requireTraining(what.name, training);
    const mean = new MeanMask();
    const rows: number[][] = [];
    const classes: number[] = [];
    for (const volumes of training) {
      throwIfAborted(signal);
      const [lesions] = await loadClasses(volumes, { mask: what.mask, classes: null });
      using only = lesions as Tensor;
      const voxels = await voxelsOf(only);
      mean.add(voxels);
      classes.push(voxels.some((value) => value > 0) ? 1 : 0);
      rows.push(await statisticsOfCase(volumes, what.images[0], null));
    }
    const { masks, counts } = mean;
    const logits = Float32Array.from(counts, (count) =>
      count === 0 ? never : Math.log(count / Math.max(masks - count, almostNone)),
    );
    const standardise = standardiser(rows);
    const regression = logisticRegression(rows.map(standardise), classes, 2);
    const prior = logitOf(classes.filter((one) => one === 1).length / classes.length);
    const answered = (values: Float32Array, shape: readonly number[]) =>
      Tensor.from(values, [1, 1, ...shape.slice(2)]);
    return [
      {
        name: "mean training mask",
        detail: `how often ${what.mask} lies at a voxel in ${masks} training cases`,
        answer: async (_volumes, input) => answered(logits, input.shape),
      },
      {
        name: "mean training mask by intensity statistics",
        detail:
          `how often ${what.mask} lies at a voxel in ${masks} training cases, times the odds that a logistic regression on ` +
          "intensity statistics gives the case",
        answer: async (volumes, input) => {
          const statistics = standardise(await statisticsOfCase(volumes, what.images[0], null));
          const shift = logitOf(regression(statistics)[1] ?? 0) - prior;
          return answered(
            logits.map((logit) => (logit === never ? never : logit + shift)),
            input.shape,
          );
        },
      },
    ];
  },
});

/** The logit where no training case has anything: its probability is 0 in float32. */
const never = -200;

/** Where all cases have something, as if so many more had not. */
const almostNone = 1e-3;

/** Of a probability; of one that is next to certain, that of a thousandth beside it. */
function logitOf(probability: number): number {
  const kept = Math.min(1 - 1e-3, Math.max(1e-3, probability));
  return Math.log(kept / (1 - kept));
}
