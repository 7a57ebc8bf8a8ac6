import type { Comparator, TaskName, TaskVariant } from "../common/vocabulary.js";
import type { GainReference, Verdict } from "../results/claims.js";
import type { DistanceName } from "../results/distances.js";
import { labelOfTask, ownStrategy } from "../tasks/index.js";

/** A task as a person writes it: `Lesion segmentation`, `Super-resolution by diffusion`. */
export function taskLabel({ task, strategy }: TaskVariant): string {
  const name = nameOf(task);
  return strategy === ownStrategy(task) ? name : `${name} by ${strategy}`;
}

/** The same beside a point, where room is scarce: what is learnt by diffusion has a star, as in the paper's figure 2. */
export const pointLabel = ({ task, strategy }: TaskVariant): string =>
  `${nameOf(task)}${strategy === "diffusion" ? "*" : ""}`;

/** What the star of `pointLabel` means, for captions; empty where no point has one. */
export const starMeaning = (points: readonly TaskVariant[]): string =>
  points.some(({ strategy }) => strategy === "diffusion") ? " * learnt by denoising diffusion (DDPM)." : "";

const nameOf = (task: TaskName): string => labelOfTask(task);

/** The same inside a sentence. */
export function taskInProse(variant: TaskVariant): string {
  const label = taskLabel(variant);
  return label.startsWith("PI-RADS") ? label : label.toLowerCase();
}

/** A task, however it is learnt, inside a sentence. */
export const kindInProse = (task: TaskName): string => taskInProse({ task, strategy: ownStrategy(task) });

export const comparatorLabel: Record<Comparator, string> = {
  "fine-tuned": "Fine-tuned",
  pretrained: "Pretrained",
  "random-weights": "Random weights",
  "from-scratch": "From scratch",
  specialised: "Specialised",
  trivial: "Trivial (no network)",
};

/** What each comparator is, in one line, for legends and notes. */
export const comparatorMeaning: Record<Comparator, string> = {
  "fine-tuned": "the foundation model, fine-tuned on the task from its pretrained weights",
  pretrained: "its pretrained weights, without training on the task",
  "random-weights": "the same network with random weights, without any training",
  "from-scratch": "the same network, trained on the task from random weights",
  specialised: "an architecture made for the task, trained on the task",
  trivial: "the best answer that takes no network, fitted to the training cases",
};

/** A reference inside a sentence: "helps ... over training from scratch". */
export const referenceInProse: Record<GainReference, string> = {
  "from-scratch": "training from scratch",
  "random-weights": "random weights",
  specialised: "the specialised model",
  trivial: "what takes no network",
  pretrained: "the pretrained model as it is",
};

export const distanceMeaning: Record<DistanceName, string> = {
  D2R: "fine-tuned vs random weights",
  D2P: "fine-tuned vs pretrained",
  D2S: "fine-tuned vs trained from scratch",
};

const metricNames: Record<string, string> = { dice: "Dice", ssim: "SSIM" };

export function metricLabel(metric: string): string {
  return metricNames[metric.toLowerCase()] ?? metric;
}

/** The same inside a sentence: `specificity at sensitivity 0.9`, `Dice`. */
export const metricInProse = (metric: string): string =>
  metricLabel(metric).replace(/^Specificity/, "specificity");

export const metricWithDirection = (metric: string, higherIsBetter: boolean): string =>
  `${metricLabel(metric)}, ${higherIsBetter ? "higher" : "lower"} is better`;

/** What became of a claim, in a word of a table. */
export const verdictWords: Record<Verdict, string> = {
  supported: "better",
  contradicted: "worse",
  "practically-equal": "practically equal",
  undetermined: "undecided",
};
