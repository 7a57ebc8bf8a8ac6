import { mean } from "simple-statistics";
import type { z } from "zod";
import type { CaseLabels } from "../cohort/columns.js";
import { TransferLimitsError } from "../common/errors.js";
import type { channelFill } from "./task.js";

/** What is answered, of what. */
export interface Regressing {
  name: string;
  image: string;
  label: string;
  channelFill: z.output<typeof channelFill>;
}

/** What the training set says of a number. */
export interface NumberScale {
  mean: number;
  /** The standard deviation of the training cases, as of a population; 1 where all have one number. */
  deviation: number;
  /** The mean absolute deviation from the mean: how far off the answer is that always says the mean. */
  absolute: number;
}

export const numberIn = (labels: CaseLabels, label: string): number | null => {
  const value = labels[label];
  return typeof value === "number" ? value : null;
};

/** @throws `BAD_MANIFEST` without a training case */
export function scaleOf(
  { name, label }: Pick<Regressing, "name" | "label">,
  training: readonly { labels: CaseLabels }[],
): NumberScale {
  const values = training.flatMap(({ labels }) => numberIn(labels, label) ?? []);
  if (values.length === 0)
    throw new TransferLimitsError(
      "BAD_MANIFEST",
      `Expected training cases with ${label}, whose unit ${name} is learnt in, but there is none. Fill the columns for more cases`,
    );
  const middle = mean(values);
  const deviation = Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
  const absolute = mean(values.map((value) => Math.abs(value - middle)));
  return { mean: middle, deviation: deviation > 0 ? deviation : 1, absolute };
}
