import type { TaskKind } from "../common/vocabulary.js";

/** Standard deviations of how much better one model is than another, in the metric's unit, as a study file plants them. */
export interface ExpectedSpread {
  /** From one training to the next, over all patients alike. */
  seed: number;
  /** From patient to patient. */
  patient: number;
  /** Of what is left of a single number: of one patient in one training. */
  interaction: number;
}

const ofImages: ExpectedSpread = { seed: 0.005, patient: 0.01, interaction: 0.005 };

/**
 * What a study is planned with that says nothing else: orders of magnitude. Dice and SSIM as phantoms gave them. Specificity
 * at a sensitivity of 0.9, which no single patient has, from two simulated models of equal worth (AUC 0.8, scores correlated
 * by 0.5): its difference scatters by 1.4 / √N over test sets of N patients.
 */
export const defaultSpreads: Readonly<Record<TaskKind, ExpectedSpread>> = {
  "pirads-classification": { seed: 0.05, patient: 1.4, interaction: 0.6 },
  "lesion-segmentation": { seed: 0.02, patient: 0.1, interaction: 0.05 },
  "super-resolution": ofImages,
  "distortion-correction": ofImages,
  classification: { seed: 0.05, patient: 1.4, interaction: 0.6 },
  segmentation: { seed: 0.02, patient: 0.1, interaction: 0.05 },
  regression: { seed: 0.05, patient: 0.5, interaction: 0.2 },
  translation: ofImages,
  "modality-translation": { seed: 0.01, patient: 0.02, interaction: 0.01 },
};
