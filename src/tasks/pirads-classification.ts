import { z } from "zod";
import type { CaseVolumes } from "../cohort/case-volumes.js";
import { Tensor } from "../native/tensor.js";
import { defineTask, type OptionsOf } from "./definition.js";
import { auc, confusionMatrix, quadraticWeightedKappa, specificityAtSensitivity } from "./metrics.js";
import { classOf, piradsClasses, piradsOf } from "./pirads-classes.js";
import {
  channelFill,
  definedValues,
  disposable,
  filledChannels,
  type Judgement,
  needing,
  stackChannels,
  type Task,
} from "./task.js";
import { trivialPiradsClassification } from "./trivial/pirads-classification.js";

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
const metric = `Specificity at sensitivity ${sensitivity}`;

/**
 * PI-RADS classification (task 1 of the paper): T2W to one of four classes (PI-RADS 1-2, 3, 4, 5). Class-weighted
 * cross-entropy. Specificity at a sensitivity of 0.9, a case's score being the probability of the positive classes;
 * beside it AUC, quadratic weighted kappa, accuracy and the confusion matrix.
 */
export const piradsClassification = (options: PiradsClassificationOptions): Task => ({
  kind,
  shape: { answers: "classes", channels: 1, outputs: piradsClasses, depthScale: 1 },
  loss: (training) => ({
    kind: "cross-entropy",
    ...(options.classWeights === "none" ? {} : { weights: inverseFrequencies(training) }),
  }),
  metric,
  pictures: null,

  chance: "none",
  ...needing({ oneOf: ["t2w"] }, { oneOf: ["pirads"], holds: "label" }),

  imagesShown: (channels) => filledChannels(1, channels, options.channelFill),

  async sample(volumes, channels) {
    using t2w = await volumes.load("t2w");
    const input = await stackChannels([t2w], channels, options.channelFill);
    const truth = classOf(piradsOf(volumes.labels) as number);
    return disposable({ input, target: Tensor.from(BigInt64Array.of(BigInt(truth)), [], input.device) });
  },

  async judge(logits, target) {
    const classes = logits.shape[1] as number;
    const values = await logits.toArray();
    const truths = await target.toArray();
    return Array.from({ length: truths.length }, (_, row): Judgement => {
      const own = Array.from({ length: classes }, (_, index) => Number(values[row * classes + index]));
      const probabilities = softmax(own);
      const positive = probabilities.slice(classOf(options.positiveFrom));
      return {
        value: positive.reduce((sum, probability) => sum + probability, 0),
        truth: Number(truths[row]),
        predicted: own.indexOf(Math.max(...own)),
        positive: Number(truths[row]) >= classOf(options.positiveFrom),
      };
    });
  },

  undefinedOn: (cases) =>
    oneSided(
      cases.flatMap(({ labels }) => {
        const pirads = piradsOf(labels);
        return pirads === null ? [] : [pirads >= options.positiveFrom];
      }),
      options.positiveFrom,
    ),

  assess(judgements) {
    const truth = judgements.map((one) => one.truth as number);
    const predicted = judgements.map((one) => one.predicted as number);
    const scores = definedValues(judgements);
    const labels = truth.map((one) => one >= classOf(options.positiveFrom));
    const right = truth.filter((one, index) => one === predicted[index]).length;
    const reason = oneSided(labels, options.positiveFrom);
    return {
      ...(reason === null
        ? { value: specificityAtSensitivity(labels, scores, sensitivity) }
        : { value: null, reason }),
      standardDeviation: null,
      secondary: {
        AUC: reason === null ? auc(labels, scores) : null,
        "Quadratic weighted kappa": quadraticWeightedKappa(truth, predicted, piradsClasses),
        Accuracy: right / truth.length,
      },
      confusion: confusionMatrix(truth, predicted, piradsClasses),
    };
  },

  async picture() {
    throw new TypeError("A classification has no pictures");
  },
});

/** Why no specificity at a sensitivity can be computed from these labels; null where it can. */
function oneSided(labels: readonly boolean[], positiveFrom: number): string | null {
  if (!labels.includes(true)) return `it has no positive case (PI-RADS ${positiveFrom} or higher)`;
  return labels.includes(false) ? null : `it has no negative case (PI-RADS lower than ${positiveFrom})`;
}

/** N / (classes that occur x cases of the class), as scikit-learn's "balanced"; 1 for a class that does not occur. */
export function inverseFrequencies(training: readonly Pick<CaseVolumes, "labels">[]): number[] {
  const counts = new Array<number>(piradsClasses).fill(0);
  for (const { labels } of training) {
    const pirads = piradsOf(labels);
    if (pirads !== null) counts[classOf(pirads)] = (counts[classOf(pirads)] as number) + 1;
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  const occurring = counts.filter((count) => count > 0).length;
  return counts.map((count) => (count === 0 ? 1 : total / (occurring * count)));
}

function softmax(logits: readonly number[]): number[] {
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - highest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

export const piradsClassificationTask = defineTask({
  kind,
  label: "PI-RADS classification",
  options,
  metric: { name: metric, better: "higher", margin: 0.05 },
  specialised: "resnet-50",
  create: piradsClassification,
  trivial: trivialPiradsClassification,
});
