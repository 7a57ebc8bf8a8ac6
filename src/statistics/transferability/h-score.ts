import { requireOptions } from "../../common/arguments.js";
import { expected } from "../../common/errors.js";
import { centred, classesOf, classMeans, type FeatureRows, matrixOf, principalAxes } from "./rows.js";

/** How `hScore` takes the covariance of features. */
export interface HScoreOptions {
  /**
   * `none`: as it is, inverted along the axes on which features lie, as Bao et al. 2019 do. `ledoit-wolf` (default): shrunk
   * to a multiple of the identity, both covariances by the same share (Ibrahim, Ponomareva & Mazumder 2022), without which
   * the score is the number of classes less one wherever there are fewer rows than features.
   */
  shrinkage?: "none" | "ledoit-wolf";
}

/**
 * H-score (Bao et al. 2019): the trace of cov(features)⁻¹ cov(mean features of the row's class). 0 where classes have the
 * same mean, and at most the number of classes less one. Greater is better.
 *
 * @param labels the class of each row, a whole number
 * @throws `BAD_INPUT`
 */
export function hScore(
  features: FeatureRows,
  labels: readonly number[],
  options: HScoreOptions = {},
): number {
  requireOptions(options);
  const { shrinkage = "ledoit-wolf" } = options;
  if (shrinkage !== "none" && shrinkage !== "ledoit-wolf")
    throw expected('"none" or "ledoit-wolf"', "options.shrinkage", shrinkage);
  const matrix = matrixOf(features);
  const classes = classesOf(labels, matrix.rows);
  const { scores, squares } = principalAxes(centred(matrix));
  const { rows, columns: axes, data } = scores;
  const means = classMeans(scores, classes);
  const { share, variance } =
    shrinkage === "none" ? { share: 0, variance: 0 } : ledoitWolf(data, squares, rows, matrix.columns);
  let score = 0;
  for (let axis = 0; axis < axes; axis++) {
    let between = 0;
    for (let one = 0; one < classes.count; one++)
      between += ((classes.sizes[one] as number) / rows) * (means[one * axes + axis] as number) ** 2;
    score += ((1 - share) * between) / ((1 - share) * ((squares[axis] as number) / rows) + share * variance);
  }
  return score;
}

/** The share of a covariance (over N, not N - 1) that becomes a multiple of the identity (Ledoit & Wolf 2004). */
function ledoitWolf(
  scores: Float64Array,
  squares: Float64Array,
  rows: number,
  features: number,
): { share: number; variance: number } {
  const axes = squares.length;
  let [trace, norm] = [0, 0];
  for (const square of squares) {
    trace += square / rows;
    norm += (square / rows) ** 2;
  }
  const variance = trace / features;
  const distance = norm - features * variance ** 2;
  if (!(distance > 0)) return { share: 0, variance };
  let fourths = 0;
  for (let row = 0; row < rows; row++) {
    let length = 0;
    for (let axis = 0; axis < axes; axis++) length += (scores[row * axes + axis] as number) ** 2;
    fourths += length ** 2;
  }
  const error = (fourths / rows - norm) / rows;
  return { share: Math.min(1, Math.max(0, error / distance)), variance };
}
