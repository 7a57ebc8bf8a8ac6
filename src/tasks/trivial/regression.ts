import { throwIfAborted } from "../../common/errors.js";
import { Tensor } from "../../native/tensor.js";
import { numberIn, type Regressing, scaleOf } from "../number-scale.js";
import { statisticsOfCase } from "./intensity-statistics.js";
import { standardiser } from "./logistic-regression.js";
import { ridgeRegression } from "./ridge-regression.js";
import type { Trivial } from "./trivial.js";
import { requireTraining } from "./voxels.js";

/** A number by the mean of the training set, and by what the intensities of the image are, wherever in it they lie. */
export const trivialRegression = (what: Regressing): Trivial => ({
  name: "intensity-statistics",
  async fit(training, signal) {
    requireTraining(what.name, training);
    const { mean, deviation } = scaleOf(what, training);
    const rows: number[][] = [];
    for (const volumes of training) {
      throwIfAborted(signal);
      rows.push(await statisticsOfCase(volumes, what.image, null));
    }
    const targets = training.map(
      ({ labels }) => ((numberIn(labels, what.label) as number) - mean) / deviation,
    );
    const standardise = standardiser(rows);
    const regression = ridgeRegression(rows.map(standardise), targets);
    const answered = (value: number) => Tensor.from(Float32Array.of(value), [1, 1]);
    return [
      { name: "training mean", answer: async () => answered(0) },
      {
        name: "linear regression on intensity statistics",
        answer: async (volumes) =>
          answered(regression(standardise(await statisticsOfCase(volumes, what.image, null)))),
      },
    ];
  },
});
