import { average, sumOf } from "../../common/numbers.js";
/** The probability of each class, given the features of a case. */
export type ClassProbabilities = (features: readonly number[]) => number[];

/** How often each class occurs among cases, whatever their features. */
export function classPrior(classes: readonly number[], count: number): ClassProbabilities {
  const prior = Array.from(
    { length: count },
    (_, one) => classes.filter((other) => other === one).length / classes.length,
  );
  return () => prior;
}

/** Features brought to zero mean and unit variance over cases; one that is the same in all becomes 0. */
export function standardiser(rows: readonly (readonly number[])[]): (row: readonly number[]) => number[] {
  const features = rows[0]?.length ?? 0;
  const moments = Array.from({ length: features }, (_, feature) => {
    const values = rows.map((row) => row[feature] as number);
    const mean = average(values);
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    // What rounding leaves of a feature that is the same in all cases is no spread.
    const isConstant = Math.sqrt(variance) <= 1e-12 * Math.abs(mean);
    return { mean, deviation: isConstant ? 1 : Math.sqrt(variance) };
  });
  return (row) =>
    moments.map(({ mean, deviation }, feature) => ((row[feature] as number) - mean) / deviation);
}

const mostSteps = 100;
const gradientTolerance = 1e-10;

/**
 * Multinomial logistic regression: minimises the sum over cases of -log p(class), plus half the sum of the squared weights,
 * intercepts aside (scikit-learn's default, C = 1), by Newton's method. A class that no case has gets no probability.
 *
 * @param rows features of the cases, standardised
 * @param classes of the cases, from 0 to `count` - 1
 */
export function logisticRegression(
  rows: readonly (readonly number[])[],
  classes: readonly number[],
  count: number,
): ClassProbabilities {
  const occurring = [...new Set(classes)].sort((a, b) => a - b);
  const cases = rows.map((row, index) => ({
    inputs: [...row, 1],
    truth: occurring.indexOf(classes[index] as number),
  }));
  const width = (rows[0]?.length ?? 0) + 1;
  const size = occurring.length * width;
  let weights = new Float64Array(size);
  let { loss, gradient, hessian } = derivatives(cases, weights, occurring.length, width);
  for (let step = 0; step < mostSteps && largest(gradient) > gradientTolerance; step++) {
    const direction = solve(hessian, gradient);
    const descent = gradient.reduce((sum, slope, index) => sum + slope * (direction[index] as number), 0);
    let share = 1;
    let next = derivatives(cases, weights, occurring.length, width);
    let moved = weights;
    // Newton's whole step may overshoot far from the minimum. Close to it, rounding hides what a step gains.
    for (; share > 1e-8; share /= 2) {
      moved = weights.map((weight, index) => weight - share * (direction[index] as number));
      next = derivatives(cases, moved, occurring.length, width);
      if (next.loss <= loss - 1e-4 * share * descent + 1e-12 * Math.abs(loss)) break;
    }
    if (share <= 1e-8) break;
    weights = moved;
    ({ loss, gradient, hessian } = next);
  }
  return (features) => {
    const own = probabilities([...features, 1], weights, occurring.length, width);
    const all = new Array<number>(count).fill(0);
    occurring.forEach((one, index) => {
      all[one] = own[index] as number;
    });
    return all;
  };
}

const largest = (values: Float64Array): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

function probabilities(
  inputs: readonly number[],
  weights: Float64Array,
  classes: number,
  width: number,
): number[] {
  const logits = Array.from({ length: classes }, (_, one) =>
    inputs.reduce((sum, input, index) => sum + input * (weights[one * width + index] as number), 0),
  );
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - highest));
  const total = sumOf(powers);
  return powers.map((power) => power / total);
}

/** The loss with its first and second derivatives. */
function derivatives(
  cases: readonly { inputs: readonly number[]; truth: number }[],
  weights: Float64Array,
  classes: number,
  width: number,
) {
  const size = weights.length;
  const gradient = new Float64Array(size);
  const hessian = Array.from({ length: size }, () => new Float64Array(size));
  const add = (row: number, column: number, value: number) => {
    const line = hessian[row] as Float64Array;
    line[column] = (line[column] as number) + value;
  };
  let loss = 0;
  for (const { inputs, truth } of cases) {
    const p = probabilities(inputs, weights, classes, width);
    loss -= Math.log(Math.max(p[truth] as number, Number.MIN_VALUE));
    for (let a = 0; a < classes; a++) {
      const error = (p[a] as number) - (a === truth ? 1 : 0);
      for (let i = 0; i < width; i++) {
        const at = a * width + i;
        gradient[at] = (gradient[at] as number) + error * (inputs[i] as number);
        for (let b = 0; b < classes; b++) {
          const curvature = (p[a] as number) * ((a === b ? 1 : 0) - (p[b] as number)) * (inputs[i] as number);
          for (let j = 0; j < width; j++) add(at, b * width + j, curvature * (inputs[j] as number));
        }
      }
    }
  }
  for (let a = 0; a < classes; a++) {
    for (let i = 0; i < width - 1; i++) {
      const at = a * width + i;
      loss += 0.5 * (weights[at] as number) ** 2;
      gradient[at] = (gradient[at] as number) + (weights[at] as number);
      add(at, at, 1);
    }
    // Adding one number to all intercepts changes nothing: curvature along that way alone makes the minimum a single one.
    for (let b = 0; b < classes; b++) add(a * width + width - 1, b * width + width - 1, 1);
  }
  return { loss, gradient, hessian };
}

/** Solves a system with a symmetric, positive definite matrix, by Cholesky's factors. */
function solve(matrix: readonly Float64Array[], right: Float64Array): Float64Array {
  const size = right.length;
  const at = (row: number, column: number) => (matrix[row] as Float64Array)[column] as number;
  const factor = Array.from({ length: size }, () => new Float64Array(size));
  const of = (row: number, column: number) => (factor[row] as Float64Array)[column] as number;
  for (let row = 0; row < size; row++) {
    for (let column = 0; column <= row; column++) {
      let sum = at(row, column);
      for (let k = 0; k < column; k++) sum -= of(row, k) * of(column, k);
      (factor[row] as Float64Array)[column] = row === column ? Math.sqrt(sum) : sum / of(column, column);
    }
  }
  const half = new Float64Array(size);
  for (let row = 0; row < size; row++) {
    let sum = right[row] as number;
    for (let k = 0; k < row; k++) sum -= of(row, k) * (half[k] as number);
    half[row] = sum / of(row, row);
  }
  const solution = new Float64Array(size);
  for (let row = size - 1; row >= 0; row--) {
    let sum = half[row] as number;
    for (let k = row + 1; k < size; k++) sum -= of(k, row) * (solution[k] as number);
    solution[row] = sum / of(row, row);
  }
  return solution;
}
