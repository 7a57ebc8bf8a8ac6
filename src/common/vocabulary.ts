/** The tasks of the paper, in its order; their names stand in study files, results and reports. */
export const taskKinds = [
  "pirads-classification",
  "lesion-segmentation",
  "super-resolution",
  "distortion-correction",
  "modality-translation",
] as const;
/** A task of the paper. @useDeclaredType */
export type TaskKind = (typeof taskKinds)[number];

/** What a foundation model is compared with, in the order of the paper. */
export const comparators = [
  "fine-tuned",
  "pretrained",
  "random-weights",
  "from-scratch",
  "specialised",
] as const;
/** What a foundation model is compared with. @useDeclaredType */
export type Comparator = (typeof comparators)[number];

/** How a task is learnt: straight from input to answer, or by denoising diffusion. */
export const strategies = ["direct", "diffusion"] as const;
/** How a task is learnt. @useDeclaredType */
export type Strategy = (typeof strategies)[number];

/** A task as it is learnt. */
export interface TaskVariant {
  task: TaskKind;
  strategy: Strategy;
}

/** The strategy that the paper defines a task by, which its specialised model follows. */
export const ownStrategy = (task: TaskKind): Strategy =>
  task === "modality-translation" ? "diffusion" : "direct";

/** `super-resolution`, and for a strategy that is not the task's own `super-resolution by diffusion`. */
export const variantName = ({ task, strategy }: TaskVariant, joint = " by "): string =>
  strategy === ownStrategy(task) ? task : `${task}${joint}${strategy}`;
