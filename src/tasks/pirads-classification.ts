import { z } from "zod";
import type { CaseVolumes } from "../cohort/case-volumes.js";
import type { Classifying } from "./classes.js";
import { balancedWeights, classifying } from "./classification.js";
import { defineTask, type OptionsOf } from "./definition.js";
import { spreadOfSpecificity } from "./expected-spreads.js";
import { floorOfSpecificity } from "./floors.js";
import { classOf, piradsClasses, piradsOf } from "./pirads-classes.js";
import { channelFill, type Task } from "./task.js";
import { trivialClassification } from "./trivial/classification.js";

const options = {
  /** The lowest PI-RADS that counts as positive. The paper is silent; 3 by default. */
  positiveFrom: z.union([z.literal(3), z.literal(4), z.literal(5)]).default(3),
  /** Weigh each class by the inverse of how often it occurs in the training set, or all the same. */
  classWeights: z.enum(["inverse-frequency", "none"]).default("inverse-frequency"),
  channelFill,
};

export type PiradsClassificationOptions = OptionsOf<typeof options>;

const kind = "pirads-classification";

/** The sensitivity at which the paper reports specificity. */
const sensitivity = 0.9;

const what = ({ positiveFrom, ...rest }: PiradsClassificationOptions): Classifying => ({
  ...rest,
  name: kind,
  image: "t2w",
  label: "pirads",
  classes: [[1, 2], [3], [4], [5]],
  names: ["PI-RADS 1-2", "PI-RADS 3", "PI-RADS 4", "PI-RADS 5"],
  ordered: true,
  metric: "specificity",
  isPositive: (index) => index >= classOf(positiveFrom),
  words: {
    positive: `PI-RADS ${positiveFrom} or higher`,
    negative: `PI-RADS lower than ${positiveFrom}`,
  },
  sensitivity,
});

/** PI-RADS classification (task 1 of the paper): T2W to one of four classes (PI-RADS 1-2, 3, 4, 5). */
export const piradsClassification = (given: PiradsClassificationOptions): Task => classifying(what(given));

/** The weights of the four classes, as `balancedWeights`. */
export const inverseFrequencies = (training: readonly Pick<CaseVolumes, "labels">[]): number[] =>
  balancedWeights(
    training.flatMap(({ labels }) => {
      const pirads = piradsOf(labels);
      return pirads === null ? [] : [classOf(pirads)];
    }),
    piradsClasses,
  );

export const piradsClassificationTask = defineTask({
  kind,
  label: "PI-RADS classification",
  options,
  metric: {
    name: `Specificity at sensitivity ${sensitivity}`,
    better: "higher",
    floor: floorOfSpecificity(sensitivity),
    margin: 0.05,
    spread: spreadOfSpecificity,
  },
  specialised: "resnet-50",
  create: piradsClassification,
  trivial: (given) => trivialClassification(what(given), "gland"),
});
