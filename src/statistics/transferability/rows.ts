import { requireArrayLike, requireFinite, requireList } from "../../common/arguments.js";
import { expected } from "../../common/errors.js";
import { symmetricEigen } from "./symmetric-eigen.js";

/** Features, a row a case or voxel: each an array of as many finite numbers. */
export type FeatureRows = readonly ArrayLike<number>[];

/** A matrix, row by row. */
export interface Matrix {
  rows: number;
  columns: number;
  data: Float64Array;
}

/** @throws `BAD_INPUT` for fewer than two rows, rows of several lengths or of none, numbers that are not finite */
export function matrixOf(features: FeatureRows, name = "features"): Matrix {
  requireList(features, name, "an array of rows of numbers");
  if (features.length < 2) throw expected("at least two rows", name, features.length);
  const columns = widthOf(features[0], `${name}[0]`);
  if (columns === 0) throw expected("at least one feature", `${name}[0]`, features[0]);
  const data = new Float64Array(features.length * columns);
  for (const [row, values] of features.entries()) {
    if (widthOf(values, `${name}[${row}]`) !== columns)
      throw expected(`${columns} numbers, as in the first row,`, `${name}[${row}]`, values);
    for (let column = 0; column < columns; column++) {
      const value: unknown = values[column];
      requireFinite(value, `${name}[${row}][${column}]`);
      data[row * columns + column] = value;
    }
  }
  return { rows: features.length, columns, data };
}

function widthOf(row: unknown, name: string): number {
  requireArrayLike(row, name, "an array of numbers");
  return row.length;
}

/** One number a row. @throws `BAD_INPUT` */
export function requireTargets(targets: unknown, rows: number): asserts targets is number[] {
  requireList(targets, "targets", "an array of numbers");
  if (targets.length !== rows) throw expected(`${rows} numbers, one a row,`, "targets", targets.length);
  for (const [row, target] of targets.entries()) requireFinite(target, `targets[${row}]`);
}

/** Classes by number in rising order, and of each row which of them it is, counted from 0. */
export interface Classes {
  count: number;
  of: Int32Array;
  sizes: number[];
}

/** @throws `BAD_INPUT` for labels that are no whole numbers, one a row, and for a single class */
export function classesOf(labels: unknown, rows: number): Classes {
  requireList(labels, "labels", "an array of whole numbers");
  if (labels.length !== rows) throw expected(`${rows} labels, one a row,`, "labels", labels.length);
  for (const [row, label] of labels.entries())
    if (!Number.isSafeInteger(label)) throw expected("a whole number", `labels[${row}]`, label);
  const whole = labels as number[];
  const names = [...new Set(whole)].sort((a, b) => a - b);
  if (names.length < 2) throw expected("at least two classes", "labels", names);
  const index = new Map(names.map((name, at) => [name, at]));
  const of = Int32Array.from(whole, (label) => index.get(label) as number);
  const sizes = new Array<number>(names.length).fill(0);
  for (const one of of) sizes[one] = (sizes[one] as number) + 1;
  return { count: names.length, of, sizes };
}

/** Whose each row is, as positions: rows of one group are judged by what is learnt of the others. @throws `BAD_INPUT` */
export function groupsOf(groups: readonly unknown[] | undefined, rows: number): number[][] {
  if (groups === undefined) return Array.from({ length: rows }, (_, row) => [row]);
  requireList(groups, "groups", "an array of names");
  if (groups.length !== rows) throw expected(`${rows} names, one a row,`, "groups", groups.length);
  const found = new Map<unknown, number[]>();
  for (const [row, group] of groups.entries()) {
    const own = found.get(group);
    if (own) own.push(row);
    else found.set(group, [row]);
  }
  if (found.size < 2) throw expected("at least two groups", "groups", [...found.keys()]);
  return [...found.values()];
}

/** What rounding leaves of a column that is the same in all rows, over its mean. */
const rounding = 1e-12;

/** The same matrix less the mean of each column. */
export function centred({ rows, columns, data }: Matrix): Matrix {
  const means = new Float64Array(columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      means[column] = (means[column] as number) + (data[row * columns + column] as number) / rows;
  const moved = data.map((value, i) => {
    const mean = means[i % columns] as number;
    return Math.abs(value - mean) <= rounding * Math.abs(mean) ? 0 : value - mean;
  });
  return { rows, columns, data: moved };
}

/**
 * A matrix X turned to its principal axes: X V, whose columns are orthogonal to each other, and their squared lengths, the
 * squares of X's singular values, in falling order. Axes along which nothing lies but rounding are left out.
 */
export interface PrincipalAxes {
  scores: Matrix;
  squares: Float64Array;
}

/** Squared singular values below this share of the largest are rounding. */
const negligible = 1e-13;

/** By the smaller of X'X and XX'. */
export function principalAxes(x: Matrix): PrincipalAxes {
  const { rows, columns, data } = x;
  const wide = columns > rows;
  const size = wide ? rows : columns;
  const { values, vectors } = symmetricEigen(wide ? outerProducts(x) : innerProducts(x), size);
  const least = negligible * Math.max(0, values[0] as number);
  let kept = 0;
  while (kept < size && (values[kept] as number) > least) kept++;
  const scores = new Float64Array(rows * kept);
  for (let row = 0; row < rows; row++) {
    const own = scores.subarray(row * kept, (row + 1) * kept);
    if (wide) {
      for (let axis = 0; axis < kept; axis++)
        own[axis] = (vectors[row * size + axis] as number) * Math.sqrt(values[axis] as number);
      continue;
    }
    for (let column = 0; column < columns; column++) {
      const value = data[row * columns + column] as number;
      if (value === 0) continue;
      const at = column * size;
      for (let axis = 0; axis < kept; axis++)
        own[axis] = (own[axis] as number) + value * (vectors[at + axis] as number);
    }
  }
  return { scores: { rows, columns: kept, data: scores }, squares: values.slice(0, kept) };
}

/** X'X. */
export function innerProducts({ rows, columns, data }: Matrix): Float64Array {
  const products = new Float64Array(columns * columns);
  for (let row = 0; row < rows; row++) {
    const own = data.subarray(row * columns, (row + 1) * columns);
    for (let i = 0; i < columns; i++) {
      const value = own[i] as number;
      if (value === 0) continue;
      const line = products.subarray(i * columns, (i + 1) * columns);
      for (let j = 0; j <= i; j++) line[j] = (line[j] as number) + value * (own[j] as number);
    }
  }
  return mirrored(products, columns);
}

/** XX'. */
function outerProducts({ rows, columns, data }: Matrix): Float64Array {
  const products = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++) {
    const first = data.subarray(i * columns, (i + 1) * columns);
    for (let j = 0; j <= i; j++) {
      const second = data.subarray(j * columns, (j + 1) * columns);
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += (first[k] as number) * (second[k] as number);
      products[i * rows + j] = sum;
    }
  }
  return mirrored(products, rows);
}

function mirrored(lower: Float64Array, size: number): Float64Array {
  for (let i = 0; i < size; i++)
    for (let j = 0; j < i; j++) lower[j * size + i] = lower[i * size + j] as number;
  return lower;
}

/** The mean row of each class, class by class. */
export function classMeans({ columns, data }: Matrix, { count, of, sizes }: Classes): Float64Array {
  const means = new Float64Array(count * columns);
  for (const [row, one] of of.entries())
    for (let column = 0; column < columns; column++) {
      const at = one * columns + column;
      means[at] = (means[at] as number) + (data[row * columns + column] as number) / (sizes[one] as number);
    }
  return means;
}
