/** The tasks of the paper, in its order; their names stand in study files, results and reports. */
export const taskKinds = [
  "pirads-classification",
  "lesion-segmentation",
  "super-resolution",
  "distortion-correction",
  "modality-translation",
] as const;
export type TaskKind = (typeof taskKinds)[number];

/** What a foundation model is compared with, in the order of the paper. */
export const comparators = [
  "fine-tuned",
  "pretrained",
  "random-weights",
  "from-scratch",
  "specialised",
] as const;
export type Comparator = (typeof comparators)[number];
