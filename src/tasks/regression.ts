import { mean } from "simple-statistics";
import { z } from "zod";
import { TransferLimitsError } from "../common/errors.js";
import { Tensor } from "../native/tensor.js";
import { columnFault, defineTask, type Named, type OptionsOf } from "./definition.js";
import { floorFromZero } from "./floors.js";
import { type NumberScale, numberIn, type Regressing, scaleOf } from "./number-scale.js";
import { imageFault, imageOption, onReference } from "./own-image.js";
import {
  channelFill,
  disposable,
  filledChannels,
  type Judgement,
  meanOverCases,
  needing,
  stackChannels,
  type Task,
} from "./task.js";
import { trivialRegression } from "./trivial/regression.js";

const options = {
  /** The image that is shown; default: the cohort's reference. */
  image: imageOption,
  /** The label that is to be answered: a number. */
  label: z.string().min(1),
  channelFill,
};

const metric = "Skill (1 - error / error of the training mean)";

/**
 * An image to a number: the network answers in standard deviations from the mean of the training set. L1 loss. A case's
 * skill is 1 less its absolute error over the mean absolute deviation of the training set, so that 0 is as good as always
 * saying the training mean and 1 is right; beside it the mean absolute error in the label's unit and Pearson's r.
 */
export function regressing(what: Regressing, scale: NumberScale | null = null): Task {
  const { name, image, label } = what;
  const known = (): NumberScale => {
    if (scale === null) throw new TransferLimitsError("INTERNAL", `${name} is not on its training set`);
    return scale;
  };
  return {
    name,
    shape: { answers: "classes", channels: 1, outputs: 1, depthScale: 1, numeric: true },
    onTraining: (training) => regressing(what, scaleOf(what, training)),
    loss: () => ({ kind: "l1" }),
    metric,
    pictures: null,
    chance: "none",
    ...needing({ oneOf: [image] }, { oneOf: [label], holds: "label" }),

    imagesShown: (channels) => filledChannels(1, channels, what.channelFill),

    async sample(volumes, channels) {
      const { mean: middle, deviation } = known();
      using shown = await volumes.load(image);
      const input = await stackChannels([shown], channels, what.channelFill);
      const standardised = ((numberIn(volumes.labels, label) as number) - middle) / deviation;
      return disposable({ input, target: Tensor.from(Float32Array.of(standardised), [1], input.device) });
    },

    async judge(prediction, target) {
      const { mean: middle, deviation, absolute } = known();
      const answers = await prediction.toArray();
      const truths = await target.toArray();
      return Array.from({ length: truths.length }, (_, row): Judgement => {
        const [truth, answered] = [truths, answers].map(
          (values) => middle + deviation * Number(values[row]),
        ) as [number, number];
        const value = absolute > 0 ? 1 - Math.abs(answered - truth) / absolute : null;
        return { value, number: { truth, answered } };
      });
    },

    undefinedOn: () => (scale?.absolute === 0 ? sameEverywhere(label) : null),

    assess(judgements) {
      const pairs = judgements.flatMap(({ number }) => number ?? []);
      const errors = pairs.map(({ truth, answered }) => Math.abs(answered - truth));
      return meanOverCases(
        judgements,
        {
          "Mean absolute error": errors.length === 0 ? null : mean(errors),
          "Pearson r": correlation(
            pairs.map(({ truth }) => truth),
            pairs.map(({ answered }) => answered),
          ),
        },
        sameEverywhere(label),
      );
    },

    async picture() {
      throw new TypeError("A regression has no pictures");
    },
  };
}

const sameEverywhere = (label: string): string => `${label} is the same number in all training cases`;

/** Pearson's r; null for fewer than two cases, or where one side does not vary. */
function correlation(x: readonly number[], y: readonly number[]): number | null {
  if (x.length < 2) return null;
  const [ofX, ofY] = [mean([...x]), mean([...y])];
  const product = (a: readonly number[], b: readonly number[], ofA: number, ofB: number) =>
    a.reduce((sum, value, index) => sum + (value - ofA) * ((b[index] as number) - ofB), 0);
  const scale = Math.sqrt(product(x, x, ofX, ofX) * product(y, y, ofY, ofY));
  return scale > 0 ? product(x, y, ofX, ofY) / scale : null;
}

const what = ({
  name = "regression",
  image = "",
  label,
  channelFill: fill,
}: Named<OptionsOf<typeof options>>) => ({ name, image, label, channelFill: fill }) satisfies Regressing;

export const regressionTask = defineTask({
  kind: "regression",
  label: "Regression",
  options,
  metric: {
    name: metric,
    better: "higher",
    floor: floorFromZero,
    margin: 0.05,
    spread: { seed: 0.05, patient: 0.5, interaction: 0.2 },
  },
  specialised: "resnet-50",
  complete: onReference,
  faults: ({ image, label }, { columns }) => {
    const names = Object.keys(columns.labels).filter((name) => columns.labels[name]?.kind === "number");
    return [
      ...imageFault({ image }, columns),
      ...columnFault({ labels: names }, "labels", ["label"], label, "labels that are numbers"),
    ];
  },
  create: (given) => regressing(what(given)),
  trivial: (given) => trivialRegression(what(given)),
});
