import { requireOptions } from "../../common/arguments.js";
import { balancedAccuracy, explained } from "./judged.js";
import {
  centred,
  classesOf,
  type FeatureRows,
  groupsOf,
  innerProducts,
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
 * same: without a look at the features it then answers with none rather than another. Groups are left out by tenths, dealt in
 * turn in the order of their first row's class. Of seven penalties the one of the smallest error stands: that choice flatters
 * a little, and every encoder alike. A class that only rows left out have is answered wrong.
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
  const { of, count, sizes } = classes;
  const folds = foldsOf(groupsOf(options.groups, matrix.rows), (row) => of[row] as number);
  const answers = leftOutAnswers(matrix, folds, (rows) => {
    const own = new Array<number>(count).fill(0);
    for (const row of rows) own[of[row] as number] = (own[of[row] as number] as number) + 1;
    const seen = own.filter((size) => size > 0).length;
    return {
      weight: (row) => 1 / (own[of[row] as number] as number),
      targets: Array.from({ length: count }, (_, one) => (row: number) => (of[row] === one ? 1 : 0)),
      intercepts: own.map((size) => (size > 0 ? 1 / seen : Number.NEGATIVE_INFINITY)),
      importance: (row) => 1 / (sizes[of[row] as number] as number),
    };
  });
  const answered = Array.from(of, (_, row) => {
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
  const folds = foldsOf(groupsOf(options.groups, matrix.rows), () => 0);
  const [answered] = leftOutAnswers(matrix, folds, (rows) => ({
    weight: () => 1,
    targets: [(row) => targets[row] as number],
    intercepts: [rows.reduce((sum, row) => sum + (targets[row] as number), 0) / rows.length],
    importance: () => 1,
  }));
  return explained(answered as Float64Array, targets);
}

const mostFolds = 10;

/** Groups dealt to folds in turn, in the order of `by` of their first row. */
function foldsOf(groups: readonly number[][], by: (row: number) => number): number[][] {
  const folds = Array.from({ length: Math.min(mostFolds, groups.length) }, (): number[] => []);
  const ordered = [...groups].sort((a, b) => by(a[0] as number) - by(b[0] as number));
  for (const [index, group] of ordered.entries()) (folds[index % folds.length] as number[]).push(...group);
  return folds;
}

/** Over the mean of the squared singular values. */
const penalties = Array.from({ length: 7 }, (_, index) => 10 ** (index - 4));

/** What a model is fitted to, of the rows that are not left out. */
interface Fitting {
  weight(row: number): number;
  targets: ((row: number) => number)[];
  /** Each target's answer to features that are at their weighted mean. */
  intercepts: number[];
  /** What an error in a row counts when a penalty is chosen. */
  importance(row: number): number;
}

/** What ridge regression without a row's fold answers to it, for each target. */
function leftOutAnswers(
  matrix: Matrix,
  folds: readonly number[][],
  fittingTo: (rows: readonly number[]) => Fitting,
): Float64Array[] {
  // Turned to their principal axes features are no more than there are rows, and answered the same.
  const { scores } = principalAxes(centred(matrix));
  const { rows, columns: axes, data } = scores;
  const tried = penalties.map(() => ({ error: 0, answers: [] as Float64Array[] }));
  for (const fold of folds) {
    const left = new Set(fold);
    const kept = Array.from({ length: rows }, (_, row) => row).filter((row) => !left.has(row));
    const fitting = fittingTo(kept);
    const { targets, intercepts } = fitting;
    const mean = weightedMean(scores, kept, fitting);
    const moved = new Float64Array(kept.length * axes);
    for (const [at, row] of kept.entries()) {
      const root = Math.sqrt(fitting.weight(row));
      for (let axis = 0; axis < axes; axis++)
        moved[at * axes + axis] = root * ((data[row * axes + axis] as number) - (mean[axis] as number));
    }
    const products = innerProducts({ rows: kept.length, columns: axes, data: moved });
    const sides = targets.map((target, index) => {
      const side = new Float64Array(axes);
      const intercept = intercepts[index] as number;
      if (!Number.isFinite(intercept)) return side;
      for (const [at, row] of kept.entries()) {
        const value = Math.sqrt(fitting.weight(row)) * (target(row) - intercept);
        for (let axis = 0; axis < axes; axis++)
          side[axis] = (side[axis] as number) + value * (moved[at * axes + axis] as number);
      }
      return side;
    });
    let unit = 0;
    for (let axis = 0; axis < axes; axis++) unit += (products[axis * axes + axis] as number) / axes;
    for (const [index, penalty] of penalties.entries()) {
      const one = tried[index] as (typeof tried)[number];
      if (one.answers.length === 0) one.answers = targets.map(() => new Float64Array(rows));
      const coefficients = solved(products, penalty * (unit || 1), sides, axes);
      for (const row of fold) {
        for (const [which, own] of coefficients.entries()) {
          let answer = intercepts[which] as number;
          for (let axis = 0; axis < axes; axis++)
            answer += (own[axis] as number) * ((data[row * axes + axis] as number) - (mean[axis] as number));
          (one.answers[which] as Float64Array)[row] = answer;
          if (Number.isFinite(answer))
            one.error += fitting.importance(row) * (answer - (targets[which]?.(row) as number)) ** 2;
        }
      }
    }
  }
  return tried.reduce((best, one) => (one.error < best.error ? one : best)).answers;
}

function weightedMean({ columns, data }: Matrix, rows: readonly number[], { weight }: Fitting): Float64Array {
  const total = rows.reduce((sum, row) => sum + weight(row), 0);
  const mean = new Float64Array(columns);
  for (const row of rows)
    for (let column = 0; column < columns; column++)
      mean[column] =
        (mean[column] as number) + (weight(row) / total) * (data[row * columns + column] as number);
  return mean;
}

/** The solutions of (products + penalty x I) x = side, by Cholesky's factors. */
function solved(
  products: Float64Array,
  penalty: number,
  sides: readonly Float64Array[],
  size: number,
): Float64Array[] {
  const factor = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    const own = factor.subarray(row * size, row * size + row);
    for (let column = 0; column <= row; column++) {
      const other = factor.subarray(column * size, column * size + column);
      let sum = products[row * size + column] as number;
      if (row === column) sum += penalty;
      for (let k = 0; k < column; k++) sum -= (own[k] as number) * (other[k] as number);
      factor[row * size + column] =
        row === column ? Math.sqrt(sum) : sum / (factor[column * size + column] as number);
    }
  }
  return sides.map((side) => {
    const x = Float64Array.from(side);
    for (let row = 0; row < size; row++) {
      let sum = x[row] as number;
      for (let k = 0; k < row; k++) sum -= (factor[row * size + k] as number) * (x[k] as number);
      x[row] = sum / (factor[row * size + row] as number);
    }
    for (let row = size - 1; row >= 0; row--) {
      let sum = x[row] as number;
      for (let k = row + 1; k < size; k++) sum -= (factor[k * size + row] as number) * (x[k] as number);
      x[row] = sum / (factor[row * size + row] as number);
    }
    return x;
  });
}
