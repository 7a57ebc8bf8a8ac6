import type { CaseVolumes } from "../../cohort/case-volumes.js";
import { shows } from "../../cohort/needs.js";
import { throwIfAborted } from "../../common/errors.js";
import { foregroundAbove } from "../../common/foreground.js";
import { Tensor } from "../../native/tensor.js";
import { classOf, piradsClasses, piradsOf } from "../pirads-classes.js";
import { intensityStatistics } from "./intensity-statistics.js";
import {
  type ClassProbabilities,
  classPrior,
  logisticRegression,
  standardiser,
} from "./logistic-regression.js";
import type { Trivial } from "./trivial.js";
import { requireTraining, voxelsOf } from "./voxels.js";

/** PI-RADS by how often each class occurs, and by what the intensities of T2W are, wherever in the image they lie. */
export const trivialPiradsClassification = (): Trivial => ({
  name: "intensity-statistics",
  async fit(training, signal) {
    requireTraining("pirads-classification", training);
    const rows: number[][] = [];
    for (const volumes of training) {
      throwIfAborted(signal);
      rows.push(await statisticsOf(volumes));
    }
    const classes = training.map(({ labels }) => classOf(piradsOf(labels) as number));
    const prior = classPrior(classes, piradsClasses);
    const standardise = standardiser(rows);
    const regression = logisticRegression(rows.map(standardise), classes, piradsClasses);
    return [
      { name: "class prior", answer: async () => logitsOf(prior, []) },
      {
        name: "logistic regression on intensity statistics",
        answer: async (volumes) => logitsOf(regression, standardise(await statisticsOf(volumes))),
      },
    ];
  },
});

/** Of T2W over the crop, then over the gland; over the crop again where no mask shows a gland. */
async function statisticsOf(volumes: CaseVolumes): Promise<number[]> {
  using t2w = await volumes.load("t2w");
  const voxels = await voxelsOf(t2w);
  let gland: Float32Array | null = null;
  if (shows(volumes, "gland")) {
    using mask = await volumes.load("gland");
    const inside = await voxelsOf(mask);
    gland = voxels.filter((_, voxel) => (inside[voxel] as number) > foregroundAbove);
  }
  const ofCrop = intensityStatistics(voxels);
  return [...ofCrop, ...(gland === null || gland.length === 0 ? ofCrop : intensityStatistics(gland))];
}

/** Whose softmax is these probabilities, to what float32 holds. */
const logitsOf = (classes: ClassProbabilities, features: readonly number[]): Tensor => {
  const logits = classes(features).map((probability) => Math.log(Math.max(probability, leastProbability)));
  return Tensor.from(Float32Array.from(logits), [1, logits.length]);
};

/** A logit is finite. */
const leastProbability = 1e-30;
