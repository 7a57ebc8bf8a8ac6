/** The tasks of the paper, in its order; their names stand in study files, results and reports. */
export const paperTasks = [
  "pirads-classification",
  "lesion-segmentation",
  "super-resolution",
  "distortion-correction",
  "modality-translation",
] as const;
/** A task of the paper. @useDeclaredType */
export type PaperTask = (typeof paperTasks)[number];

/** What a study calls a task, which stands in results and reports: its kind, where it says no name. @useDeclaredType */
export type TaskName = string;

export const isPaperTask = (task: TaskName): task is PaperTask =>
  (paperTasks as readonly string[]).includes(task);

/** Names of tasks in the order in which they are told of: the paper's in its own, then the others as they come. */
export const inTaskOrder = (tasks: Iterable<TaskName>): TaskName[] => {
  const all = [...new Set(tasks)];
  return [...paperTasks.filter((task) => all.includes(task)), ...all.filter((task) => !isPaperTask(task))];
};

/** What a foundation model is compared with: in the order of the paper, then what takes no network at all. */
export const comparators = [
  "fine-tuned",
  "pretrained",
  "random-weights",
  "from-scratch",
  "specialised",
  "trivial",
] as const;
/** What a foundation model is compared with. @useDeclaredType */
export type Comparator = (typeof comparators)[number];

/** How an encoder is pretrained. */
export const pretrainMethods = ["masked-autoencoder", "patch-contrast", "self-distillation"] as const;
/** How an encoder is pretrained. @useDeclaredType */
export type PretrainMethod = (typeof pretrainMethods)[number];

/** A comparator that belongs to a task, not to one foundation model of it and one way to learn it. */
export type SharedComparator = "specialised" | "trivial";

export const isShared = (comparator: Comparator): comparator is SharedComparator =>
  comparator === "specialised" || comparator === "trivial";

/** How a task is learnt: straight from input to answer, or by denoising diffusion. */
export const strategies = ["direct", "diffusion"] as const;
/** How a task is learnt. @useDeclaredType */
export type Strategy = (typeof strategies)[number];

/** A task as it is learnt. */
export interface TaskVariant {
  task: TaskName;
  strategy: Strategy;
}
