import type { z } from "zod";
import type { CaseLabels, LabelValue } from "../cohort/columns.js";
import type { channelFill } from "./task.js";

/** Which classes there are, what is shown of a case, and what counts as positive. */
export interface Classifying {
  name: string;
  image: string;
  label: string;
  /** Values of the label, a list a class. */
  classes: readonly (readonly LabelValue[])[];
  /** What each class is called. */
  names: readonly string[];
  /** Whether each class is more than the one before it. */
  ordered: boolean;
  isPositive(index: number): boolean;
  /** What positive and negative cases are, in words: `PI-RADS 3 or higher`. */
  words: { positive: string; negative: string };
  /** What it is judged by. */
  metric: "specificity" | "auc" | "kappa";
  sensitivity: number;
  classWeights: "inverse-frequency" | "none";
  channelFill: z.output<typeof channelFill>;
}

/** The class of a case by its labels; null where the label is not known, or is none of the classes. */
export function classIn({ label, classes }: Pick<Classifying, "label" | "classes">, labels: CaseLabels) {
  const known = labels[label];
  if (known === undefined || known === null) return null;
  const index = classes.findIndex((values) => values.includes(known));
  return index < 0 ? null : index;
}
