/** Standard deviations of how much better one model is than another, in the metric's unit, as a study file plants them. */
export interface ExpectedSpread {
  /** From one training to the next, over all patients alike. */
  seed: number;
  /** From patient to patient. */
  patient: number;
  /** Of what is left of a single number: of one patient in one training. */
  interaction: number;
}

// What a study is planned with that says nothing else: orders of magnitude, as phantoms gave them.

/** Of SSIM. */
export const spreadOfSsim: ExpectedSpread = { seed: 0.005, patient: 0.01, interaction: 0.005 };

/** Of Dice. */
export const spreadOfDice: ExpectedSpread = { seed: 0.02, patient: 0.1, interaction: 0.05 };

/**
 * Of the specificity at a sensitivity of 0.9, which no single patient has: from two simulated models of equal worth (AUC 0.8,
 * scores correlated by 0.5), whose difference scatters by 1.4 / √N over test sets of N patients.
 */
export const spreadOfSpecificity: ExpectedSpread = { seed: 0.05, patient: 1.4, interaction: 0.6 };

/** Of the area under the ROC curve, from the same two models: 0.45 / √N. */
export const spreadOfAuc: ExpectedSpread = { seed: 0.03, patient: 0.45, interaction: 0.2 };

/** Of kappa, from two models that agree with four classes by 0.5 to 0.8: 0.4 to 0.9 / √N. */
export const spreadOfKappa: ExpectedSpread = { seed: 0.03, patient: 0.7, interaction: 0.3 };

/** Of the PI-CAI score, from the same two models, each case having a false candidate and half of them a lesion: 0.6 / √N. */
export const spreadOfPiCai: ExpectedSpread = { seed: 0.03, patient: 0.6, interaction: 0.3 };
