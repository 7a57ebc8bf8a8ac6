import { requireFinite, requireOptions } from "../../common/arguments.js";
import { expected } from "../../common/errors.js";
import {
  type Classes,
  centred,
  classesOf,
  classMeans,
  type FeatureRows,
  innerProducts,
  type Matrix,
  matrixOf,
  principalAxes,
} from "./rows.js";
import { symmetricEigen } from "./symmetric-eigen.js";

/** How `sfda` regularises. */
export interface SfdaOptions {
  /** Of lambda = exp(-strength x the largest eigenvalue of the scatter within classes). Default 5, as the authors' code has it. */
  strength?: number;
}

/**
 * Self-challenging Fisher discriminant analysis (Shao et al. 2022): the mean log-probability that a linear discriminant
 * analysis gives to each row's own class, once each row was mixed with the mean of the other classes, by as much as a first
 * analysis doubts its class. The scatter within classes S becomes (1 - lambda) S + lambda I. At most 0, greater is better. With
 * fewer rows than features it is often 0: every class can be told then.
 *
 * @param labels the class of each row, a whole number
 * @throws `BAD_INPUT`
 */
export function sfda(features: FeatureRows, labels: readonly number[], options: SfdaOptions = {}): number {
  requireOptions(options);
  const { strength = 5 } = options;
  requireFinite(strength, "options.strength");
  if (!(strength > 0)) throw expected("a number above 0", "options.strength", strength);
  const matrix = matrixOf(features);
  const classes = classesOf(labels, matrix.rows);
  // Features turned and moved are told apart just as well.
  const { scores } = principalAxes(centred(matrix));
  if (scores.columns === 0) return meanOf(priorsOf(classes), classes);
  const within = withinClasses(scores, classes);
  const lambda = Math.max(Math.exp(-strength * Math.max(0, within.values[0] as number)), smallestLambda);
  const first = discriminate(scores, classes, within, lambda);
  const mixed = mixOthers(scores, classes, first);
  return meanOf(discriminate(mixed, classes, withinClasses(mixed, classes), lambda), classes);
}

const smallestLambda = 1e-10;

/** The pooled covariance within classes by its eigenvalues and eigenvectors. */
function withinClasses(scores: Matrix, classes: Classes) {
  const { rows, columns, data } = scores;
  const means = classMeans(scores, classes);
  const deviations = data.map(
    (value, i) =>
      value - (means[(classes.of[Math.floor(i / columns)] as number) * columns + (i % columns)] as number),
  );
  const products = innerProducts({ rows, columns, data: deviations });
  return symmetricEigen(
    products.map((product) => product / rows),
    columns,
  );
}

/**
 * The logarithm of each row's probabilities of the classes. Projected to the classes less one Fisher directions, or not at
 * all, they are the same: differences of class means lie in them.
 */
function discriminate(
  scores: Matrix,
  classes: Classes,
  within: { values: Float64Array; vectors: Float64Array },
  lambda: number,
): Float64Array {
  const { rows, columns, data } = scores;
  const { count, sizes } = classes;
  // Turned to the eigenvectors and scaled, distances from class means are Euclidean.
  const scales = within.values.map((value) => 1 / Math.sqrt((1 - lambda) * Math.max(0, value) + lambda));
  const turn = (row: Float64Array): Float64Array => {
    const turned = new Float64Array(columns);
    for (let k = 0; k < columns; k++) {
      const value = row[k] as number;
      for (let axis = 0; axis < columns; axis++)
        turned[axis] = (turned[axis] as number) + value * (within.vectors[k * columns + axis] as number);
    }
    return turned.map((value, axis) => value * (scales[axis] as number));
  };
  const means = classMeans(scores, classes);
  const centres = Array.from({ length: count }, (_, one) =>
    turn(means.subarray(one * columns, (one + 1) * columns)),
  );
  const logs = new Float64Array(rows * count);
  for (let row = 0; row < rows; row++) {
    const own = turn(data.subarray(row * columns, (row + 1) * columns));
    const worth = centres.map((centre, one) => {
      let sum = 0;
      for (let axis = 0; axis < columns; axis++)
        sum += (centre[axis] as number) * ((own[axis] as number) - 0.5 * (centre[axis] as number));
      return sum + Math.log((sizes[one] as number) / rows);
    });
    const highest = Math.max(...worth);
    const total = Math.log(worth.reduce((sum, value) => sum + Math.exp(value - highest), 0)) + highest;
    for (let one = 0; one < count; one++) logs[row * count + one] = (worth[one] as number) - total;
  }
  return logs;
}

/** Each row p x + (1 - p) m: p the probability of its class, m the mean of the other classes' means. */
function mixOthers(scores: Matrix, classes: Classes, logs: Float64Array): Matrix {
  const { rows, columns, data } = scores;
  const { count, of } = classes;
  const means = classMeans(scores, classes);
  const mixed = new Float64Array(data.length);
  for (let row = 0; row < rows; row++) {
    const own = of[row] as number;
    const p = Math.exp(logs[row * count + own] as number);
    for (let column = 0; column < columns; column++) {
      let others = 0;
      for (let one = 0; one < count; one++)
        if (one !== own) others += (means[one * columns + column] as number) / (count - 1);
      mixed[row * columns + column] = p * (data[row * columns + column] as number) + (1 - p) * others;
    }
  }
  return { rows, columns, data: mixed };
}

/** Of features that tell nothing: how often each class occurs. */
function priorsOf({ count, of, sizes }: Classes): Float64Array {
  const logs = new Float64Array(of.length * count);
  for (let i = 0; i < logs.length; i++) logs[i] = Math.log((sizes[i % count] as number) / of.length);
  return logs;
}

function meanOf(logs: Float64Array, { count, of }: Classes): number {
  let sum = 0;
  for (const [row, own] of of.entries()) sum += logs[row * count + own] as number;
  return sum / of.length;
}
