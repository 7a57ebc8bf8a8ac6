import { requireList } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { average } from "../common/numbers.js";
import { type MeanSquare, uncertainSpread } from "./uncertain-spread.js";

/*
 * Two methods, each trained with every seed and tested on every patient: y[s][i] = mu + seed_s + patient_i + rest_si, seed
 * and patient both drawn at random. The variance of a mean over S seeds and N patients is tau²/S + gamma²/N + sigma²/(S N)
 * (Searle, Casella & McCulloch 1992, chapter 4). More patients do not lessen the first part, more seeds not the second.
 */

/** What is computed of a pair (first, second): the squares of both, and their product. */
export interface Form {
  first: number;
  product: number;
  second: number;
}

/** Of `first - ratio x second`. */
export const at = ({ first, product, second }: Form, ratio: number): number =>
  first - 2 * ratio * product + ratio ** 2 * second;

/** Means and mean squares of two crossed methods. */
export interface CrossedPair {
  seeds: number;
  patients: number;
  first: number;
  second: number;
  /** Mean square between seeds, between patients, and of the rest; each as a form of the two methods. */
  bySeed: Form | null;
  byPatient: Form | null;
  rest: Form | null;
}

/**
 * Sums up two methods over the same seeds and patients.
 *
 * @param first a row a seed, a column a patient
 * @param second likewise
 * @throws `BAD_INPUT` where the tables are empty, not of one size, or hold a number that is not finite
 */
export function crossedPair(
  first: readonly (readonly number[])[],
  second: readonly (readonly number[])[],
): CrossedPair {
  requireTable(first, "first", first.length, first[0]?.length);
  requireTable(second, "second", first.length, first[0]?.length);
  const [a, b] = [marginsOf(first), marginsOf(second)];
  const [seeds, patients] = [a.seeds.length, a.patients.length];
  const form = (product: (x: Margins, y: Margins) => number, degrees: number): Form | null =>
    degrees === 0
      ? null
      : { first: product(a, a) / degrees, product: product(a, b) / degrees, second: product(b, b) / degrees };
  return {
    seeds,
    patients,
    first: a.mean,
    second: b.mean,
    bySeed: form((x, y) => patients * dot(x.seeds, y.seeds), seeds - 1),
    byPatient: form((x, y) => seeds * dot(x.patients, y.patients), patients - 1),
    rest: form((x, y) => dot(x.rest, y.rest), (seeds - 1) * (patients - 1)),
  };
}

/** What a table deviates by: seeds' means from the mean, patients' means from it, and what is left. */
interface Margins {
  mean: number;
  seeds: number[];
  patients: number[];
  rest: number[];
}

function marginsOf(table: readonly (readonly number[])[]): Margins {
  const rows = table.map(average);
  const columns = (table[0] as readonly number[]).map((_, i) =>
    average(table.map((row) => row[i] as number)),
  );
  const mean = average(rows);
  return {
    mean,
    seeds: rows.map((row) => row - mean),
    patients: columns.map((column) => column - mean),
    rest: table.flatMap((row, s) =>
      row.map((value, i) => value - (rows[s] as number) - (columns[i] as number) + mean),
    ),
  };
}

const dot = (x: readonly number[], y: readonly number[]): number =>
  x.reduce((sum, value, i) => sum + value * (y[i] as number), 0);

/** A mean difference, with what it may be off by. */
export interface CrossedDifference {
  /** Of first - second, over seeds and patients. */
  estimate: number;
  standardError: number;
  /** Two-sided p-value of "no difference". */
  p: number;
  /** Standard deviations: from seed to seed, from patient to patient, and of what is left of a single number. */
  deviations: { seeds: number; patients: number; rest: number };
  /** The interval that covers the difference with this probability. */
  interval(level: number): [low: number, high: number];
  /**
   * Fieller's set (1954) of the ratio first / second, of the same tables: it leaves out 1 exactly where the interval of
   * the difference leaves out 0. Null where it is unbounded, because the second mean may be 0.
   */
  ratio(level: number): { estimate: number; low: number; high: number } | null;
}

/**
 * The mean difference of two crossed methods. Its variance is estimated by (MS_seed + MS_patient - MS_rest) / (S N); where
 * chance has made one of the first two less than the rest, the other one is taken alone. That it is only estimated is in
 * the interval and in p.
 *
 * @param pooled the mean square of differences between seeds, known from more than these
 * @returns null for a single seed or patient: the spread between several is not known then
 */
export function crossedDifference(pair: CrossedPair, pooled?: MeanSquare): CrossedDifference | null {
  const { seeds, patients, first, second, bySeed, byPatient, rest } = pair;
  if (!bySeed || !byPatient || !rest) return null;
  const cells = seeds * patients;
  const own = at(bySeed, 1);
  const ofSeeds = pooled ?? { value: own, degrees: seeds - 1 };
  const ofPatients = { value: at(byPatient, 1), degrees: patients - 1 };
  const ofRest = { value: at(rest, 1), degrees: (seeds - 1) * (patients - 1) };
  const spread = uncertainSpread({ seeds: ofSeeds, patients: ofPatients, rest: ofRest }, cells);
  const alternatives = [
    { square: ofSeeds.value + ofPatients.value - ofRest.value, weights: [1, 1, -1] },
    { square: ofSeeds.value, weights: [1, 0, 0] },
    { square: ofPatients.value, weights: [0, 1, 0] },
  ];
  const { square, weights } = alternatives.reduce((most, one) => (one.square > most.square ? one : most));
  const estimate = first - second;
  const variance = square / cells;
  const positive = (value: number) => Math.sqrt(Math.max(0, value));
  return {
    estimate,
    standardError: Math.sqrt(variance),
    p: spread.beyond(Math.abs(estimate)),
    deviations: {
      seeds: positive((ofSeeds.value - ofRest.value) / patients),
      patients: positive((ofPatients.value - ofRest.value) / seeds),
      rest: Math.sqrt(ofRest.value),
    },
    interval: (level) => {
      const half = spread.quantile(1 - level);
      return [estimate - half, estimate + half];
    },
    ratio: (level) => {
      // As many standard errors as the interval of the difference has; of each ratio, its own.
      const errors2 = variance > 0 ? spread.quantile(1 - level) ** 2 / variance : 0;
      const [s = 0, p = 0, r = 0] = weights;
      const seedsAs = scaledTo(bySeed, ofSeeds.value);
      const allowance = (part: keyof Form) =>
        (errors2 * (s * seedsAs[part] + p * byPatient[part] + r * rest[part])) / cells;
      return fieller(
        { first, second },
        { first: allowance("first"), product: allowance("product"), second: allowance("second") },
      );
    },
  };
}

/**
 * A form that is `square` at a ratio of 1, as pooled seeds have it. What they have less, both methods have less in proportion;
 * what they have more is shared by both: in proportion to a difference that chance has made small, a method's own noise would
 * become so large that its mean might be 0.
 */
export function scaledTo(form: Form, square: number): Form {
  const own = at(form, 1);
  if (square <= own) {
    const share = own > 0 ? square / own : 1;
    return { first: share * form.first, product: share * form.product, second: share * form.second };
  }
  const more = (square - own) / 2;
  return { first: form.first + more, product: form.product, second: form.second + more };
}

/** The ratios r for which (first - r second)² is at most their allowance, a form of the two. */
export function fieller({ first, second }: { first: number; second: number }, allowance: Form) {
  const square = second ** 2 - allowance.second;
  if (!(square > 0)) return null;
  const product = first * second - allowance.product;
  const rest = first ** 2 - allowance.first;
  // At the estimate itself the allowance is not negative, so that there are two roots, or one.
  const root = Math.sqrt(Math.max(0, product ** 2 - square * rest));
  return { estimate: first / second, low: (product - root) / square, high: (product + root) / square };
}

/** A table of finite numbers, of a known size. @throws `BAD_INPUT` */
export function requireTable(
  table: unknown,
  name: string,
  rows: number | undefined,
  columns: number | undefined,
): void {
  requireList(table, name, "a table: an array of rows of numbers");
  if (!rows || !columns) throw expected("at least one row of at least one number", name, table);
  const sizes = `${rows} rows of ${columns} numbers`;
  if (table.length !== rows) throw expected(sizes, name, table);
  for (const [index, row] of (table as unknown[]).entries()) {
    if (!Array.isArray(row) || row.length !== columns) throw expected(sizes, name, table);
    const wrong = row.findIndex((value) => !Number.isFinite(value));
    if (wrong >= 0) throw expected("a finite number", `${name}[${index}][${wrong}]`, row[wrong]);
  }
}
