import type { MaskRole } from "../../cohort/columns.js";
import { throwIfAborted } from "../../common/errors.js";
import { Tensor } from "../../native/tensor.js";
import { type Classifying, classIn } from "../classes.js";
import { statisticsOfCase } from "./intensity-statistics.js";
import {
  type ClassProbabilities,
  classPrior,
  logisticRegression,
  standardiser,
} from "./logistic-regression.js";
import type { Trivial } from "./trivial.js";
import { requireTraining } from "./voxels.js";

/**
 * Classes by how often each occurs, and by what the intensities of the image are, wherever in it they lie.
 *
 * @param within the mask whose inside counts by itself too; null: none
 */
export const trivialClassification = (what: Classifying, within: MaskRole | null): Trivial => ({
  name: "intensity-statistics",
  async fit(training, signal) {
    requireTraining(what.name, training);
    const rows: number[][] = [];
    for (const volumes of training) {
      throwIfAborted(signal);
      rows.push(await statisticsOfCase(volumes, what.image, within));
    }
    const count = what.classes.length;
    const classes = training.map(({ labels }) => classIn(what, labels) as number);
    const prior = classPrior(classes, count);
    const standardise = standardiser(rows);
    const regression = logisticRegression(rows.map(standardise), classes, count);
    return [
      { name: "class prior", answer: async () => logitsOf(prior, []) },
      {
        name: "logistic regression on intensity statistics",
        answer: async (volumes) =>
          logitsOf(regression, standardise(await statisticsOfCase(volumes, what.image, within))),
      },
    ];
  },
});

/** Whose softmax is these probabilities, to what float32 holds. */
const logitsOf = (classes: ClassProbabilities, features: readonly number[]): Tensor => {
  const logits = classes(features).map((probability) => Math.log(Math.max(probability, leastProbability)));
  return Tensor.from(Float32Array.from(logits), [1, logits.length]);
};

/** A logit is finite. */
const leastProbability = 1e-30;
