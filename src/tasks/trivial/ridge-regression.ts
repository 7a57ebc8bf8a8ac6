import { average } from "../../common/numbers.js";
/**
 * Ridge regression with an intercept that is not penalised: minimises the sum of squared errors plus the sum of squared
 * weights (scikit-learn's default, alpha = 1), which also settles features that say the same.
 *
 * @param rows features of the cases, standardised
 * @param targets of the cases
 */
export function ridgeRegression(
  rows: readonly (readonly number[])[],
  targets: readonly number[],
): (row: readonly number[]) => number {
  const width = rows[0]?.length ?? 0;
  const means = Array.from({ length: width }, (_, feature) =>
    average(rows.map((row) => row[feature] as number)),
  );
  const middle = average(targets);
  const centred = rows.map((row) => row.map((value, feature) => value - (means[feature] as number)));
  // (X'X + 1) w = X'y, by elimination: symmetric and positive definite, so that no pivot is 0.
  const system = means.map((_, i) => [
    ...means.map(
      (__, j) =>
        centred.reduce((sum, row) => sum + (row[i] as number) * (row[j] as number), 0) + (i === j ? 1 : 0),
    ),
    centred.reduce((sum, row, index) => sum + (row[i] as number) * ((targets[index] as number) - middle), 0),
  ]);
  for (let pivot = 0; pivot < width; pivot++) {
    const top = system[pivot] as number[];
    for (let below = pivot + 1; below < width; below++) {
      const line = system[below] as number[];
      const factor = (line[pivot] as number) / (top[pivot] as number);
      for (let column = pivot; column <= width; column++)
        line[column] = (line[column] as number) - factor * (top[column] as number);
    }
  }
  const weights = new Array<number>(width).fill(0);
  for (let row = width - 1; row >= 0; row--) {
    const line = system[row] as number[];
    let rest = line[width] as number;
    for (let column = row + 1; column < width; column++)
      rest -= (line[column] as number) * (weights[column] as number);
    weights[row] = rest / (line[row] as number);
  }
  return (row) =>
    row.reduce(
      (sum, value, feature) => sum + (value - (means[feature] as number)) * (weights[feature] as number),
      middle,
    );
}
