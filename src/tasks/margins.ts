import type { TaskKind } from "../common/vocabulary.js";

/** Differences that do not matter in practice, where a study does not say otherwise. */
export const defaultMargins: Readonly<Record<TaskKind, number>> = {
  "pirads-classification": 0.05,
  "lesion-segmentation": 0.02,
  "super-resolution": 0.01,
  "distortion-correction": 0.01,
  "modality-translation": 0.01,
};
