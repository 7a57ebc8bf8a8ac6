import { z } from "zod";
import { sumOf } from "../common/numbers.js";
import { Tensor } from "../native/tensor.js";
import { type Classifying, classIn } from "./classes.js";
import { columnFault, defineTask, type Named, type OptionsOf } from "./definition.js";
import { spreadOfAuc, spreadOfKappa, spreadOfSpecificity } from "./expected-spreads.js";
import { floorFromZero, floorOfAuc, floorOfSpecificity } from "./floors.js";
import { auc, confusionMatrix, quadraticWeightedKappa, specificityAtSensitivity } from "./metrics.js";
import { imageFault, imageOption, onReference } from "./own-image.js";
import { aucName, kappaName, specificityName } from "./set-metrics.js";
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
import { trivialClassification } from "./trivial/classification.js";

const value = z.union([z.number(), z.string().min(1).max(100)]);

const options = {
  /** The image that is shown; default: the cohort's reference. */
  image: imageOption,
  /** The label that tells the classes: one of classes. */
  label: z.string().min(1),
  /** Which values of the label each class has; default: every value is a class. */
  classes: z.array(z.array(value).min(1)).min(2).max(100).optional(),
  /** The classes that count as positive, by one value of each; default: the last class. */
  positive: z.array(value).min(1).optional(),
  /** What it is judged by; kappa, with quadratic weights, is for ordered classes. */
  metric: z.enum(["specificity", "auc", "kappa"]).default("specificity"),
  /** At which the specificity is taken. */
  sensitivity: z.number().gt(0).max(1).default(0.9),
  /** Weigh each class by the inverse of how often it occurs in the training set, or all the same. */
  classWeights: z.enum(["inverse-frequency", "none"]).default("inverse-frequency"),
  channelFill,
};

/**
 * An image to one of several classes. Class-weighted cross-entropy. Judged by the specificity at a sensitivity, a case's score
 * being the probability of the positive classes, by AUC, or by kappa (quadratic weights where the classes are ordered); beside
 * it the two others, accuracy and the confusion matrix.
 */
export function classifying(what: Classifying): Task {
  const { name, image, label, classes, sensitivity } = what;
  const count = classes.length;
  const metric = { specificity: specificityName(sensitivity), auc: aucName, kappa: kappaName }[what.metric];
  const needs = needing({ oneOf: [image] }, { oneOf: [label], holds: "label" });
  const oneSided = (positives: readonly boolean[]): string | null => {
    if (!positives.includes(true)) return `it has no positive case (${what.words.positive})`;
    return positives.includes(false) ? null : `it has no negative case (${what.words.negative})`;
  };
  return {
    name,
    shape: { answers: "classes", channels: 1, outputs: count, depthScale: 1 },
    loss: (training) => ({
      kind: "cross-entropy",
      ...(what.classWeights === "none"
        ? {}
        : {
            weights: balancedWeights(
              training.flatMap(({ labels }) => classIn(what, labels) ?? []),
              count,
            ),
          }),
    }),
    metric,
    ...(what.metric === "specificity" ? {} : { spread: what.metric === "auc" ? spreadOfAuc : spreadOfKappa }),
    floor: { specificity: floorOfSpecificity(sensitivity), auc: floorOfAuc, kappa: floorFromZero }[
      what.metric
    ],
    pictures: null,
    chance: "none",
    needs: needs.needs,
    missing: (facts) => {
      const lack = needs.missing(facts);
      if (lack !== null) return lack;
      // A label that follows from a mask is known once the mask was measured.
      if (facts.labels[label] === null || classIn(what, facts.labels) !== null) return null;
      return `its ${label} is ${String(facts.labels[label])}, which is none of the classes`;
    },

    imagesShown: (channels) => filledChannels(1, channels, what.channelFill),

    async sample(volumes, channels) {
      using shown = await volumes.load(image);
      const input = await stackChannels([shown], channels, what.channelFill);
      const truth = classIn(what, volumes.labels) as number;
      return disposable({ input, target: Tensor.from(BigInt64Array.of(BigInt(truth)), [], input.device) });
    },

    async judge(logits, target) {
      const width = logits.shape[1] as number;
      const values = await logits.toArray();
      const truths = await target.toArray();
      return Array.from({ length: truths.length }, (_, row): Judgement => {
        const own = Array.from({ length: width }, (_, index) => Number(values[row * width + index]));
        const probabilities = softmax(own);
        return {
          value: probabilities.reduce(
            (sum, probability, index) => (what.isPositive(index) ? sum + probability : sum),
            0,
          ),
          truth: Number(truths[row]),
          predicted: own.indexOf(Math.max(...own)),
          positive: what.isPositive(Number(truths[row])),
        };
      });
    },

    undefinedOn: (cases) => {
      if (what.metric === "kappa" || cases.some(({ labels }) => labels[label] === null)) return null;
      const known = cases.flatMap(({ labels }) => classIn(what, labels) ?? []);
      return oneSided(known.map((index) => what.isPositive(index)));
    },

    assess(judgements) {
      const truth = judgements.map((one) => one.truth as number);
      const predicted = judgements.map((one) => one.predicted as number);
      const scores = definedValues(judgements);
      const positives = truth.map((index) => what.isPositive(index));
      const right = truth.filter((one, index) => one === predicted[index]).length;
      const reason = oneSided(positives);
      const measured: Record<string, number | null> = {
        [specificityName(sensitivity)]:
          reason === null ? specificityAtSensitivity(positives, scores, sensitivity) : null,
        [aucName]: reason === null ? auc(positives, scores) : null,
        ...(what.ordered
          ? { [kappaName]: quadraticWeightedKappa(truth, predicted, count) }
          : { Kappa: kappa(truth, predicted, count) }),
        Accuracy: right / truth.length,
      };
      const { [metric]: value = null, ...secondary } = measured;
      const whyNot = what.metric === "kappa" ? "one class alone occurs, and is answered everywhere" : reason;
      return {
        ...(value === null ? { value, reason: whyNot ?? "it is undefined" } : { value }),
        standardDeviation: null,
        secondary,
        confusion: confusionMatrix(truth, predicted, count),
        classes: [...what.names],
      };
    },

    async picture() {
      throw new TypeError("A classification has no pictures");
    },
  };
}

/** N / (classes that occur x cases of the class), as scikit-learn's "balanced"; 1 for a class that does not occur. */
export function balancedWeights(classes: readonly number[], count: number): number[] {
  const counts = new Array<number>(count).fill(0);
  for (const one of classes) counts[one] = (counts[one] as number) + 1;
  const occurring = counts.filter((cases) => cases > 0).length;
  return counts.map((cases) => (cases === 0 ? 1 : classes.length / (occurring * cases)));
}

/** Cohen's kappa (1960): agreement beyond chance; null where chance leaves nothing to agree beyond. */
export function kappa(
  truth: readonly number[],
  predicted: readonly number[],
  classes: number,
): number | null {
  const matrix = confusionMatrix(truth, predicted, classes);
  const cases = truth.length;
  const agreed = matrix.reduce((sum, row, index) => sum + (row[index] as number), 0) / cases;
  const byChance = matrix.reduce((sum, row, index) => {
    const ofTruth = sumOf(row);
    const ofAnswers = matrix.reduce((total, other) => total + (other[index] as number), 0);
    return sum + (ofTruth * ofAnswers) / cases ** 2;
  }, 0);
  return byChance === 1 ? null : (agreed - byChance) / (1 - byChance);
}

function softmax(logits: readonly number[]): number[] {
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - highest));
  const sum = sumOf(powers);
  return powers.map((power) => power / sum);
}

type Options = Named<OptionsOf<typeof options>>;

/** What the options say, with what follows from the cohort's columns filled in. */
const what = (given: Options, ordered = false): Classifying => {
  const { classes = [], positive = classes.at(-1) ?? [], image = "", name = "classification" } = given;
  const isPositive = (index: number) => classes[index]?.some((one) => positive.includes(one)) ?? false;
  const named = (wanted: boolean) =>
    classes
      .filter((_, index) => isPositive(index) === wanted)
      .flat()
      .join(", ");
  return {
    ...{ name, image, label: given.label, classes, ordered, isPositive },
    names: classes.map((values) => values.join(", ")),
    words: { positive: `${given.label}: ${named(true)}`, negative: `${given.label}: ${named(false)}` },
    metric: given.metric,
    ...{ sensitivity: given.sensitivity, classWeights: given.classWeights, channelFill: given.channelFill },
  };
};

export const classificationTask = defineTask({
  kind: "classification",
  label: "Classification",
  options: { ...options, ordered: z.boolean().optional() },
  metric: {
    name: "Specificity at sensitivity 0.9",
    better: "higher",
    floor: floorOfSpecificity(0.9),
    margin: 0.05,
    spread: spreadOfSpecificity,
  },
  specialised: "resnet-50",
  complete: (given, { reference, labels }) => {
    const label = labels[given.label];
    const own = label?.kind === "class" ? label : null;
    return {
      ...onReference(given, { reference }),
      classes: given.classes ?? own?.classes.map((one) => [one]),
      ordered: given.ordered ?? own?.ordered ?? false,
    };
  },
  faults: ({ image, label, classes = [], positive, metric, ordered = false }, { columns }) => {
    const wrong = imageFault({ image }, columns);
    const known = columns.labels[label];
    if (known?.kind !== "class") {
      const names = Object.keys(columns.labels).filter((name) => columns.labels[name]?.kind === "class");
      wrong.push(...columnFault({ labels: names }, "labels", ["label"], label, "labels of classes"));
      return wrong;
    }
    const values = classes.flat();
    const fault = (path: PropertyKey[], message: string) => wrong.push({ of: "task", path, message });
    if (metric === "kappa" && !ordered)
      fault(
        ["metric"],
        `expected "specificity" or "auc", as the classes of ${label} have no order, which kappa weighs by, but received "kappa". ` +
          "Where they have one, say ordered: true",
      );
    for (const one of values)
      if (!known.classes.includes(one))
        fault(["classes"], `expected values of ${label} (${known.classes.join(", ")}) but received ${one}`);
    if (new Set(values).size < values.length)
      fault(["classes"], "expected each value in one class, but one stands there twice");
    for (const one of positive ?? [])
      if (!values.includes(one)) fault(["positive"], `expected values of the classes but received ${one}`);
    if (positive !== undefined && classes.every((own) => own.some((one) => positive.includes(one))))
      fault(["positive"], "expected a class that is not positive, but all are");
    return wrong;
  },
  create: ({ ordered, ...given }) => classifying(what(given, ordered)),
  trivial: (given) => trivialClassification(what(given), null),
});
