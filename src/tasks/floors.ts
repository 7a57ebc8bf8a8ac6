// What a metric must reach before a result counts as learnt at all: what chance gives, and a twentieth of the way from there to
// its best value. Below it two results compare next to nothing with next to nothing, whatever their difference.

/** Of a metric whose best value is 1, by what it has where nothing is known of the cases. */
const floorOver = (chance: number): number => chance + 0.05 * (1 - chance);

/** Of Dice, SSIM, average precision, kappa and skill: nothing gives 0. */
export const floorFromZero = floorOver(0);

/** Of the area under the ROC curve: scores by chance have a half. */
export const floorOfAuc = floorOver(0.5);

/** Of the specificity at a sensitivity: scores by chance call as many negatives positive as positives. */
export const floorOfSpecificity = (sensitivity: number): number => floorOver(1 - sensitivity);

/** Of the PI-CAI score, the mean of an area under the ROC curve and an average precision: by chance a half and next to 0. */
export const floorOfPiCai = floorOver(0.25);
