import type { Claim } from "../results/claims.js";
import { signed, significant } from "./format.js";
import { metricInProse } from "./labels.js";

/** `Dice 0.62 against 0.53`. */
export function means({ metric, fineTuned, referenceValue, lowerIsBetter }: Claim): string {
  const name = metricInProse(metric);
  return `${name}${/\d$/.test(name) ? ":" : ""} ${significant(fineTuned)} against ${significant(referenceValue)}${lowerIsBetter ? " (lower is better)" : ""}`;
}

/** A difference of metrics with its sign: `+0.090`, `−0.004`. */
export const difference = (value: number): string => signed(value, 3).replace("-", "\u2212");

/** Whether a claim rests on one seed, and so decides nothing. */
export const hasOneSeed = ({ seeds }: Pick<Claim, "seeds">): boolean => seeds.length < 2;
