import { sumOf } from "../../common/numbers.js";
import { classesOf, type FeatureRows, type Matrix, matrixOf, principalAxes, requireTargets } from "./rows.js";

/**
 * LogME (You et al. 2021): the logarithm of the maximum evidence of a linear model on features, over the number of rows. A
 * target is normal around the features' product with normal weights, without an intercept; both precisions are those of the
 * greatest evidence. Of a classification it is the mean over classes, each of which is told from the others as 1 from 0.
 * Greater is better; only values of one target are comparable.
 *
 * @param features rows of equal length; there may be fewer rows than features
 * @param labels the class of each row, a whole number
 * @throws `BAD_INPUT`
 */
export function logMe(features: FeatureRows, labels: readonly number[]): number {
  const matrix = matrixOf(features);
  const classes = classesOf(labels, matrix.rows);
  const evidence = evidenceOn(matrix);
  let sum = 0;
  for (let one = 0; one < classes.count; one++)
    sum += evidence(Float64Array.from(classes.of, (own) => (own === one ? 1 : 0)));
  return sum / classes.count;
}

/** LogME of a regression: as `logMe`, of one number a row. @throws `BAD_INPUT` */
export function logMeOfRegression(features: FeatureRows, targets: readonly number[]): number {
  const matrix = matrixOf(features);
  requireTargets(targets, matrix.rows);
  return evidenceOn(matrix)(Float64Array.from(targets));
}

const mostSteps = 10_000;
const tolerance = 1e-12;

/**
 * With the singular values s of F and z, the target turned to F's left singular vectors, all of it is sums over axes: the
 * target's variance along one is 1/beta + s²/alpha, and 1/beta outside of them.
 */
function evidenceOn(features: Matrix): (target: Float64Array) => number {
  const { scores, squares } = principalAxes(features);
  const { rows, columns: axes, data } = scores;
  return (target) => {
    const z2 = new Float64Array(axes);
    for (let axis = 0; axis < axes; axis++) {
      let sum = 0;
      for (let row = 0; row < rows; row++)
        sum += (data[row * axes + axis] as number) * (target[row] as number);
      z2[axis] = sum ** 2 / (squares[axis] as number);
    }
    const total = target.reduce((sum, value) => sum + value ** 2, 0);
    const outside = Math.max(0, total - sumOf(z2));
    let [alpha, beta] = [1, 1];
    for (let step = 0; step < mostSteps; step++) {
      let [effective, weights, residual] = [0, 0, outside];
      for (let axis = 0; axis < axes; axis++) {
        const [s2, own] = [squares[axis] as number, z2[axis] as number];
        const precision = alpha + beta * s2;
        effective += (beta * s2) / precision;
        weights += (beta / precision) ** 2 * s2 * own;
        residual += own * (alpha / precision) ** 2;
      }
      // A target without a trace in the features, or one that they hold without a rest, has its greatest evidence at infinity.
      const next = {
        alpha: Math.min(effective / weights, largest),
        beta: Math.min(Math.max(rows - effective, 0) / residual, largest),
      };
      if (!(next.alpha > 0)) next.alpha = largest;
      if (!(next.beta > 0)) next.beta = largest;
      const moved = Math.max(Math.abs(Math.log(next.alpha / alpha)), Math.abs(Math.log(next.beta / beta)));
      ({ alpha, beta } = next);
      if (moved < tolerance) break;
    }
    let evidence = (rows - axes) * Math.log(beta / (2 * Math.PI)) - beta * outside;
    for (let axis = 0; axis < axes; axis++) {
      const variance = 1 / beta + (squares[axis] as number) / alpha;
      evidence -= Math.log(2 * Math.PI * variance) + (z2[axis] as number) / variance;
    }
    return evidence / (2 * rows);
  };
}

/** Of a precision: a standard deviation of a hundred-thousandth. */
const largest = 1e10;
