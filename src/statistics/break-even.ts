import { requireCallback, requireFinite, requireList, requireOptions } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { crossedDifference, crossedPair, requireTable } from "./crossed.js";

/** Numbers of one method, a row a seed and a column a test patient. */
export type Table = readonly (readonly number[])[];

/** What training on so many patients gave. */
export interface CurveLevel {
  /** Trained on. Each level has more than the one before. */
  patients: number;
  fineTuned: Table;
  fromScratch: Table;
}

/** How a difference of two tables is tested: what it comes to, and the two-sided p-value of none; null: not known. */
export type DifferenceTest = (fineTuned: Table, fromScratch: Table) => { estimate: number; p: number | null };

/** How many patients pretraining is worth: to be read with what was measured, as no curve goes on beyond its ends. */
export interface Worth {
  /**
   * From scratch it takes so many patients more to do as well, at the end where the weaker of both is trained on everybody.
   * Negative where fine-tuning needs more. Null where it lies beyond what was measured: beyond `most` where the
   * fine-tuned model is better, beyond -`most` where it is worse.
   */
  patients: number | null;
  /** The 95 % interval; an end is null where it is not reached within what was measured. Null: there is none. */
  interval: { low: number | null; high: number | null } | null;
  /** Which of both is better where all are trained on: where neither is, `patients` is 0. */
  better: "fine-tuned" | "from-scratch" | "neither";
  /** The most that could be seen: all patients less those of the smallest level. */
  most: number;
}

/** Seeds and patients crossed. */
export const crossedTest: DifferenceTest = (fineTuned, fromScratch) => {
  const pair = crossedPair(fineTuned, fromScratch);
  return { estimate: pair.first - pair.second, p: crossedDifference(pair)?.p ?? null };
};

const level = 0.05;
/** So finely the range is searched for ends of the interval, which are then found between two neighbours. */
const gridSteps = 160;

/**
 * How many patients pretraining is worth, from learning curves that are linear in the logarithm of the number of patients
 * between measured levels. With N patients in the last level, w is the worth where
 *
 * - fine-tuning on N - w patients does as well as training from scratch on N, if fine-tuning is the better one,
 * - training from scratch on N + w patients does as well as fine-tuning on N, if it is the worse one (w < 0).
 *
 * The difference of both falls with w. Its 95 % interval is every w at which it does not differ from 0 at 5 %, seeds and
 * patients both being drawn at random: Fieller's way of inverting a test, which is unbounded where the data are.
 *
 * @param test default: seeds and patients crossed
 * @throws `BAD_INPUT` for fewer than two levels, or levels that do not rise
 */
export function worthInPatients(levels: readonly CurveLevel[], test: DifferenceTest = crossedTest): Worth {
  requireList(levels, "levels", "an array of levels");
  if (levels.length < 2) throw expected("at least two levels", "levels", levels);
  requireCallback(test, "test");
  const size = (levels[0] as CurveLevel | null)?.fineTuned as Table | null | undefined;
  for (const [index, level] of levels.entries()) {
    requireOptions(level, `levels[${index}]`);
    const { patients, fineTuned, fromScratch } = level;
    for (const [name, table] of Object.entries({ fineTuned, fromScratch }))
      requireTable(table, `levels[${index}].${name}`, size?.length, size?.[0]?.length);
    const before = levels[index - 1]?.patients ?? 0;
    if (!(Number.isFinite(patients) && patients > before))
      throw expected("more patients than in the level before", `levels[${index}].patients`, patients);
  }
  const first = levels[0] as CurveLevel;
  const last = levels.at(-1) as CurveLevel;
  const most = last.patients - first.patients;
  const at = (worth: number) => {
    const answer =
      worth >= 0
        ? test(tableAt(levels, "fineTuned", last.patients - worth), last.fromScratch)
        : test(last.fineTuned, tableAt(levels, "fromScratch", last.patients + worth));
    requireOptions(answer, "what test answers");
    requireFinite(answer.estimate, "estimate of what test answers");
    if (answer.p !== null) requireFinite(answer.p, "p of what test answers");
    return answer;
  };
  const grid = Array.from({ length: gridSteps + 1 }, (_, step) => most * (step / (gridSteps / 2) - 1));
  const seen = grid.map((worth) => ({ worth, ...at(worth) }));
  const atNone = at(0).estimate;
  const better = atNone > 0 ? "fine-tuned" : atNone < 0 ? "from-scratch" : "neither";
  const patients =
    better === "neither" ? 0 : crossing(seen, atNone > 0 ? 1 : -1, (worth) => at(worth).estimate);
  return { patients, interval: intervalOf(seen, (worth) => at(worth).p as number), better, most };
}

interface Seen {
  worth: number;
  estimate: number;
  p: number | null;
}

/** Where the difference first becomes 0, going from no worth to the end of a side; null where it does not. */
function crossing(seen: readonly Seen[], side: 1 | -1, at: (worth: number) => number): number | null {
  const way = seen.filter(({ worth }) => worth * side >= 0).sort((a, b) => side * (a.worth - b.worth));
  const index = way.findIndex(({ estimate }) => estimate * side <= 0);
  if (index < 0) return null;
  const [from, to] = [way[index - 1]?.worth ?? 0, way[index]?.worth ?? 0];
  return between(from, to, (worth) => at(worth) * side > 0);
}

/** Every worth that is not excluded, from the lowest to the highest; an end that is not is one beyond which nothing was seen. */
function intervalOf(seen: readonly Seen[], at: (worth: number) => number): Worth["interval"] {
  if (seen.some(({ p }) => p === null)) return null;
  const held = seen.map(({ p }) => (p as number) >= level);
  const [from, to] = [held.indexOf(true), held.lastIndexOf(true)];
  const worthAt = (index: number) => (seen[index] as Seen).worth;
  const end = seen.length - 1;
  if (from < 0) {
    // Nothing that was measured: the worth lies beyond an end, or between two points of the grid.
    const after = seen.findIndex(({ estimate }) => estimate <= 0);
    if (after === 0) return { low: null, high: worthAt(0) };
    if (after < 0) return { low: worthAt(end), high: null };
    return { low: worthAt(after - 1), high: worthAt(after) };
  }
  const isHeld = (worth: number) => at(worth) >= level;
  return {
    low: from === 0 ? null : between(worthAt(from), worthAt(from - 1), isHeld),
    high: to === end ? null : between(worthAt(to), worthAt(to + 1), isHeld),
  };
}

/** Between a worth at which something holds and one at which it does not, the last at which it does. */
function between(holds: number, fails: number, test: (worth: number) => boolean): number {
  let [inside, outside] = [holds, fails];
  for (let step = 0; step < 40; step++) {
    const middle = (inside + outside) / 2;
    if (test(middle)) inside = middle;
    else outside = middle;
  }
  return inside;
}

/** The numbers of a method trained on so many patients: linear in the logarithm between the levels beside it. */
function tableAt(levels: readonly CurveLevel[], of: "fineTuned" | "fromScratch", patients: number): Table {
  const { above, below, share } = placeOf(levels, patients);
  const [low, high] = [levels[below]?.[of] as Table, levels[above]?.[of] as Table];
  return low.map((row, s) =>
    row.map((value, i) => value + share * (((high[s] as readonly number[])[i] as number) - value)),
  );
}

/** The levels below and above a number of patients, and how far it lies between them. */
export function placeOf(
  levels: readonly { patients: number }[],
  patients: number,
): { below: number; above: number; share: number } {
  const found = levels.findIndex((one) => one.patients >= patients);
  const above = found < 0 ? levels.length - 1 : found;
  const below = Math.max(0, above - 1);
  const [low, high] = [levels[below]?.patients as number, levels[above]?.patients as number];
  const share = high === low ? 0 : Math.log(patients / low) / Math.log(high / low);
  return { below, above, share: Math.min(1, Math.max(0, share)) };
}
