import { requireOptions } from "../../common/arguments.js";
import { balancedAccuracy, explained } from "./judged.js";
import {
  centred,
  classesOf,
  type FeatureRows,
  groupsOf,
  type Matrix,
  matrixOf,
  principalAxes,
  requireTargets,
} from "./rows.js";

/** How `linearProbe` is cross-validated. */
export interface ProbeOptions {
  /** Whose each row is, such as its patient: a row is answered by what was learnt of others. Default: each row is its own. */
  groups?: readonly unknown[];
}

/**
 * How well a linear model on the features answers rows of groups that it was not fitted to: the mean over classes of the
 * share that is answered right. The model is ridge regression on the classes as 0 and 1, in which each class weighs the
 * same; one group is left out at a time, exactly. Features and targets are centred once, over all rows: an intercept without
 * the group would lean away from its class, and call noise always wrong. Of thirteen penalties, the same for all groups,
 * the one of the smallest error stands: that choice flatters a little, and every encoder alike.
 *
 * @throws `BAD_INPUT`
 */
export function linearProbe(
  features: FeatureRows,
  labels: readonly number[],
  options: ProbeOptions = {},
): number {
  requireOptions(options);
  const matrix = matrixOf(features);
  const classes = classesOf(labels, matrix.rows);
  const weights = Float64Array.from(
    classes.of,
    (own) => matrix.rows / (classes.count * (classes.sizes[own] as number)),
  );
  const targets = Array.from({ length: classes.count }, (_, one) =>
    Float64Array.from(classes.of, (own) => (own === one ? 1 : 0) - 1 / classes.count),
  );
  const answers = leftOutAnswers(matrix, targets, weights, groupsOf(options.groups, matrix.rows));
  const answered = Array.from(classes.of, (_, row) => {
    const own = answers.map((answer) => answer[row] as number);
    return own.indexOf(Math.max(...own));
  });
  return balancedAccuracy(answered, classes);
}

/** As `linearProbe`, of numbers: R² over the rows that were left out. NaN where all targets are the same. @throws `BAD_INPUT` */
export function linearProbeOfRegression(
  features: FeatureRows,
  targets: readonly number[],
  options: ProbeOptions = {},
): number {
  requireOptions(options);
  const matrix = matrixOf(features);
  requireTargets(targets, matrix.rows);
  const weights = new Float64Array(matrix.rows).fill(1);
  const groups = groupsOf(options.groups, matrix.rows);
  const mean = targets.reduce((sum, target) => sum + target, 0) / targets.length;
  const moved = targets.map((target) => target - mean);
  const [answered] = leftOutAnswers(matrix, [Float64Array.from(moved)], weights, groups);
  return explained(answered as Float64Array, moved);
}

/** Over the mean of the squared singular values. */
const penalties = Array.from({ length: 13 }, (_, index) => 10 ** (index / 2 - 4));

/** What ridge regression without a row's group answers to it, for each target. */
function leftOutAnswers(
  matrix: Matrix,
  targets: readonly Float64Array[],
  weights: Float64Array,
  groups: readonly number[][],
): Float64Array[] {
  const roots = weights.map(Math.sqrt);
  const moved = centred(matrix, weights);
  const weighted = moved.data.map((value, at) => value * (roots[Math.floor(at / moved.columns)] as number));
  const { scores, squares } = principalAxes({ ...moved, data: weighted });
  const { rows, columns: axes, data } = scores;
  const scaled = targets.map((target) => target.map((value, row) => value * (roots[row] as number)));
  const mean = squares.reduce((sum, value) => sum + value, 0) / Math.max(1, axes);
  let best: { error: number; answers: Float64Array[] } | null = null;
  for (const penalty of penalties) {
    const shrunk = squares.map((square) => 1 / (square + penalty * (mean || 1)));
    // Z'y, turned back: the fit to all rows.
    const fits = scaled.map((target) => {
      const coefficients = new Float64Array(axes);
      for (let row = 0; row < rows; row++)
        for (let axis = 0; axis < axes; axis++)
          coefficients[axis] =
            (coefficients[axis] as number) + (data[row * axes + axis] as number) * (target[row] as number);
      return coefficients.map((value, axis) => value * (shrunk[axis] as number));
    });
    let error = 0;
    const answers = targets.map(() => new Float64Array(rows));
    for (const group of groups) {
      // y - answer without the group = (I - H)^-1 (y - answer with it), H the group's part of the hat matrix.
      const size = group.length;
      const system = new Float64Array(size * size);
      for (const [i, a] of group.entries())
        for (const [j, b] of group.entries()) {
          let sum = 0;
          for (let axis = 0; axis < axes; axis++)
            sum +=
              (data[a * axes + axis] as number) *
              (data[b * axes + axis] as number) *
              (shrunk[axis] as number);
          system[i * size + j] = (i === j ? 1 : 0) - sum;
        }
      const residuals = scaled.map((target, index) =>
        Float64Array.from(group, (row) => {
          let fitted = 0;
          for (let axis = 0; axis < axes; axis++)
            fitted += (data[row * axes + axis] as number) * (fits[index]?.[axis] as number);
          return (target[row] as number) - fitted;
        }),
      );
      solve(system, residuals, size);
      for (const [index, residual] of residuals.entries())
        for (const [i, row] of group.entries()) {
          const off = residual[i] as number;
          error += off ** 2;
          const root = roots[row] as number;
          (answers[index] as Float64Array)[row] = ((scaled[index]?.[row] as number) - off) / root;
        }
    }
    if (best === null || error < best.error) best = { error, answers };
  }
  return (best as { answers: Float64Array[] }).answers;
}

/** Gaussian elimination with partial pivoting, for several right-hand sides at once, which become the solutions. */
function solve(matrix: Float64Array, sides: readonly Float64Array[], size: number): void {
  const at = (row: number, column: number) => matrix[row * size + column] as number;
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++)
      if (Math.abs(at(row, column)) > Math.abs(at(pivot, column))) pivot = row;
    if (pivot !== column) {
      for (let k = 0; k < size; k++) {
        const kept = at(column, k);
        matrix[column * size + k] = at(pivot, k);
        matrix[pivot * size + k] = kept;
      }
      for (const side of sides) {
        const kept = side[column] as number;
        side[column] = side[pivot] as number;
        side[pivot] = kept;
      }
    }
    for (let row = column + 1; row < size; row++) {
      const factor = at(row, column) / at(column, column);
      if (factor === 0) continue;
      for (let k = column; k < size; k++) matrix[row * size + k] = at(row, k) - factor * at(column, k);
      for (const side of sides) side[row] = (side[row] as number) - factor * (side[column] as number);
    }
  }
  for (let row = size - 1; row >= 0; row--)
    for (const side of sides) {
      let sum = side[row] as number;
      for (let k = row + 1; k < size; k++) sum -= at(row, k) * (side[k] as number);
      side[row] = sum / at(row, row);
    }
}
