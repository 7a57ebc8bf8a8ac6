import { requireWhole } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { groupBy } from "../common/group-by.js";
import { deviation } from "../common/numbers.js";
import { randomStream } from "../common/random.js";
import type { OfDrawn } from "../tasks/drawn-specificity.js";
import { quantile } from "./sample-statistics.js";

/** Fewer positive or negative patients than these, and a specificity at a sensitivity says almost nothing. */
export const fewestOfAClass = 20;

const defaultResamples = 2_000;
const mostResamples = 1_000_000;

/** An estimate with its 95 % interval, and what that rests on. */
export interface IntervalEstimate {
  estimate: number;
  /** 95 %; null where too few patients allow one. */
  low: number | null;
  high: number | null;
  /** Standard error; null likewise. */
  se: number | null;
  method: "stratified bootstrap" | "DeLong" | "bootstrap";
  /** What was taken to be independent. */
  unit: "patient";
  /** How many of them. */
  n: number;
  /** What a reader must know of it; null for nothing. */
  note: string | null;
}

/** How resamples are drawn. */
export interface ResamplingOptions {
  /** Default 0. */
  seed?: number;
  /** Default 2,000; at most 1,000,000. */
  resamples?: number;
}

/** Who is drawn anew: whether each case is of the first kind (one with something to be found), and whose it is. */
export interface PatientsToDraw {
  labels: readonly boolean[];
  patients: readonly string[];
}

/** What a statistic is of every case, with its percentile interval over resamples of patients. */
export function drawnInterval(
  statistic: OfDrawn,
  { labels, patients }: PatientsToDraw,
  options: ResamplingOptions,
  method: IntervalEstimate["method"],
): IntervalEstimate {
  const values = resampled({ labels, patients }, options, statistic);
  return bootstrapped(statistic([...labels.keys()]), values, labels, patients, method);
}

/**
 * A statistic of several methods: of each a table with a row a seed, whose first column is of all patients, the others of
 * resamples of them, the same ones for all methods and seeds. A resample that leaves any of them undefined is left out.
 *
 * @param methods of each method one statistic a seed; as many seeds for all
 * @returns besides, of how many patients the kind is that has fewer; no resamples where that is one
 */
export function drawnTables(
  methods: readonly (readonly OfDrawn[])[],
  { labels, patients }: PatientsToDraw,
  options: ResamplingOptions,
): { tables: number[][][]; fewest: number } {
  const all = (cases: readonly number[]): number[][] =>
    methods.map((bySeed) => bySeed.map((of) => of(cases)));
  const defined = (cases: readonly number[]): number[][] | null => {
    const values = all(cases);
    return values.every((bySeed) => bySeed.every(Number.isFinite)) ? values : null;
  };
  const drawn = [all([...labels.keys()]), ...ofResamples({ labels, patients }, options, defined)];
  return {
    tables: methods.map((bySeed, method) =>
      bySeed.map((_, seed) => drawn.map((values) => values[method]?.[seed] as number)),
    ),
    fewest: Math.min(...strata(labels, patients).map(({ length }) => length)),
  };
}

/** Differences of two statistics, first less second, one a seed: as they are, and on the same resamples of patients. */
export function drawnDifferences(
  first: readonly OfDrawn[],
  second: readonly OfDrawn[],
  who: PatientsToDraw,
  options: ResamplingOptions,
): DrawnSeeds & { fewest: number; sides: [DrawnSeeds, DrawnSeeds] } {
  const { tables, fewest } = drawnTables([first, second], who, options);
  const [own, other] = tables as [number[][], number[][]];
  const differences = own.map((row, seed) =>
    row.map((value, column) => value - (other[seed]?.[column] as number)),
  );
  return { ...drawnSeeds(differences), fewest, sides: [drawnSeeds(own), drawnSeeds(other)] };
}

/** A number a seed: of all patients, and of those that were drawn anew each time. */
export interface DrawnSeeds {
  bySeed: number[];
  drawn: number[][];
}

function drawnSeeds(table: readonly (readonly number[])[]): DrawnSeeds {
  const columns = table[0]?.map((_, column) => table.map((row) => row[column] as number)) ?? [];
  return { bySeed: columns[0] as number[], drawn: columns.slice(1) };
}

export const pick = <Value>(values: readonly Value[], indices: readonly number[]): Value[] =>
  indices.map((index) => values[index] as Value);

/** Each patient's cases, those of patients with a positive case apart from the others. */
function strata(labels: readonly boolean[], patients: readonly string[]): number[][][] {
  const all = [...groupBy(patients.keys(), (i) => patients[i] as string).values()];
  const positive = (cases: readonly number[]) => cases.some((i) => labels[i]);
  return [all.filter(positive), all.filter((cases) => !positive(cases))].filter(({ length }) => length > 0);
}

/** A statistic of resamples of patients; those that leave it undefined are left out. */
export const resampled = (
  cases: { labels: readonly boolean[]; patients: readonly string[] },
  options: ResamplingOptions,
  statistic: (drawn: readonly number[]) => number | null,
): number[] =>
  ofResamples(cases, options, (drawn) => {
    const value = statistic(drawn);
    return value !== null && Number.isFinite(value) ? value : null;
  });

function ofResamples<Value>(
  { labels, patients }: { labels: readonly boolean[]; patients: readonly string[] },
  { seed = 0, resamples = defaultResamples }: ResamplingOptions,
  statistic: (drawn: readonly number[]) => Value | null,
): Value[] {
  requireWhole(seed, "seed");
  if (!(Number.isSafeInteger(resamples) && resamples >= 1 && resamples <= mostResamples))
    throw expected(`a whole number from 1 to ${mostResamples}`, "resamples", resamples);
  const random = randomStream(seed, "patients");
  const integer = (below: number) => random.integer(0, below - 1);
  const groups = strata(labels, patients);
  if (groups.some((group) => group.length < 2)) return [];
  const values: Value[] = [];
  for (let b = 0; b < resamples; b++) {
    const drawn = groups.flatMap((group) => group.flatMap(() => group[integer(group.length)] as number[]));
    // Where every negative case is of a patient with a positive one, a resample may hold cases of one kind only.
    if (groups.length === 1 && labels.includes(false) && new Set(pick(labels, drawn)).size < 2) continue;
    const value = statistic(drawn);
    if (value !== null) values.push(value);
  }
  return values;
}

export function bootstrapped(
  estimate: number,
  values: readonly number[],
  labels: readonly boolean[],
  patients: readonly string[],
  method: IntervalEstimate["method"],
): IntervalEstimate {
  const n = new Set(patients).size;
  const note = noteOn(labels, patients);
  const se = deviation(values);
  if (se === null) return { estimate, low: null, high: null, se, method, unit: "patient", n, note };
  const [low, high] = [quantile(values, 0.025), quantile(values, 0.975)];
  return { estimate, low, high, se, method, unit: "patient", n, note };
}

export function noteOn(labels: readonly boolean[], patients: readonly string[]): string | null {
  const of = (label: boolean) => new Set(patients.filter((_, i) => labels[i] === label)).size;
  const [positive, negative] = [of(true), of(false)];
  if (Math.min(positive, negative) >= fewestOfAClass) return null;
  return `${positive} positive and ${negative} negative patients: below ${fewestOfAClass} of either it says almost nothing`;
}
