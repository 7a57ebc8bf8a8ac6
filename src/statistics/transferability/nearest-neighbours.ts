import { requireOptions, requireWhole } from "../../common/arguments.js";
import { balancedAccuracy, explained } from "./judged.js";
import { classesOf, type FeatureRows, groupsOf, type Matrix, matrixOf, requireTargets } from "./rows.js";

/** How `nearestNeighbours` looks for them. */
export interface NeighbourOptions {
  /** Whose each row is, such as its patient: neighbours are rows of others. Default: each row is its own. */
  groups?: readonly unknown[];
  /** How many neighbours; fewer where there are fewer. Default 5. */
  neighbours?: number;
}

/**
 * How well a row's class is told by the rows nearest to it (Euclidean) among those of other groups: the mean over classes of
 * the share that is answered right. Of classes that are equally frequent among the neighbours, that of the nearest one.
 *
 * @throws `BAD_INPUT`
 */
export function nearestNeighbours(
  features: FeatureRows,
  labels: readonly number[],
  options: NeighbourOptions = {},
): number {
  const matrix = matrixOf(features);
  const classes = classesOf(labels, matrix.rows);
  const answered = neighboursOf(matrix, options).map((nearest) => {
    const votes = new Array<number>(classes.count).fill(0);
    for (const row of nearest) {
      const own = classes.of[row] as number;
      votes[own] = (votes[own] as number) + 1;
    }
    const most = Math.max(...votes);
    return classes.of[nearest.find((row) => votes[classes.of[row] as number] === most) as number] as number;
  });
  return balancedAccuracy(answered, classes);
}

/** As `nearestNeighbours`, of numbers: R² of the mean of the neighbours'. NaN where all targets are the same. @throws `BAD_INPUT` */
export function nearestNeighboursOfRegression(
  features: FeatureRows,
  targets: readonly number[],
  options: NeighbourOptions = {},
): number {
  const matrix = matrixOf(features);
  requireTargets(targets, matrix.rows);
  const answered = neighboursOf(matrix, options).map(
    (nearest) => nearest.reduce((sum, row) => sum + (targets[row] as number), 0) / nearest.length,
  );
  return explained(answered, targets);
}

/** Of each row, the rows nearest to it among those of other groups, the nearest first. */
function neighboursOf({ rows, columns, data }: Matrix, options: NeighbourOptions): number[][] {
  requireOptions(options);
  const { neighbours = 5 } = options;
  requireWhole(neighbours, "options.neighbours", 1);
  const groupOf = new Int32Array(rows);
  for (const [index, group] of groupsOf(options.groups, rows).entries())
    for (const row of group) groupOf[row] = index;
  const distances = new Float64Array(rows);
  return Array.from({ length: rows }, (_, row) => {
    const own = data.subarray(row * columns, (row + 1) * columns);
    const others: number[] = [];
    for (let other = 0; other < rows; other++) {
      if (groupOf[other] === groupOf[row]) continue;
      let sum = 0;
      for (let k = 0, at = other * columns; k < columns; k++, at++)
        sum += ((own[k] as number) - (data[at] as number)) ** 2;
      distances[other] = sum;
      others.push(other);
    }
    others.sort((a, b) => (distances[a] as number) - (distances[b] as number) || a - b);
    return others.slice(0, neighbours);
  });
}
