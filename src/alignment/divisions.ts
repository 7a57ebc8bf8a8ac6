import { throwIfAborted } from "../common/errors.js";
import type { RandomStream } from "../common/random.js";

/** Which pooled rows a division puts into the first set, one division after another. */
export interface Divisions {
  /** [divisions, N + M], 1 for a row in the first set; the first division is the one that was given. */
  members: Uint8Array;
  /** Whether these are all the divisions there are, each once; else those after the first were drawn at random. */
  exact: boolean;
}

/** Rows of one patient, or of one case, or one row: what chance moves as a whole. Indices into the pooled rows. */
interface Unit {
  inA: number[];
  inB: number[];
}

/** Where there are no more divisions than this, or than were asked for, all are tried. */
const fewDivisions = 4096;

/** What chance moves, and how: units with rows in both sets have them swapped, the others are divided anew. */
export interface DivisionPlan {
  rows: number;
  swapped: readonly Unit[];
  /** First those whose rows are in the first set. */
  exchanged: readonly Unit[];
  /** How many of those are in the first set, in every division. */
  inFirst: number;
  /** All the divisions there are; infinite where there are too many to count. */
  count: number;
}

/**
 * @param names whose each pooled row is: first the rows of the first set, then those of the second
 * @param rowsA how many of them are in the first
 */
export function planDivisions(names: readonly (string | number)[], rowsA: number): DivisionPlan {
  const units = new Map<string | number, Unit>();
  for (const [row, name] of names.entries()) {
    const unit = units.get(name) ?? { inA: [], inB: [] };
    units.set(name, unit);
    (row < rowsA ? unit.inA : unit.inB).push(row);
  }
  const all = [...units.values()];
  const swapped = all.filter(({ inA, inB }) => inA.length > 0 && inB.length > 0);
  const first = all.filter(({ inB }) => inB.length === 0);
  const exchanged = [...first, ...all.filter(({ inA }) => inA.length === 0)];
  // MMD² is the same with the sets exchanged: where all units are swapped, one of them need not be.
  const swaps = exchanged.length === 0 ? swapped.length - 1 : swapped.length;
  const count = 2 ** swaps * choose(exchanged.length, first.length);
  return { rows: names.length, swapped, exchanged, inFirst: first.length, count };
}

/** All divisions of a plan where they are few, otherwise the one given and `draws` random ones. */
export async function divide(
  plan: DivisionPlan,
  draws: number,
  stream: RandomStream,
  signal: AbortSignal | undefined,
): Promise<Divisions> {
  const exact = isExact(plan, draws);
  const members = new Uint8Array((exact ? plan.count : draws + 1) * plan.rows);
  const choices = exact ? everyChoice(plan) : randomChoices(plan, draws, stream);
  let division = 0;
  for (const { swaps, first } of choices) {
    const own = members.subarray(division * plan.rows, (division + 1) * plan.rows);
    for (const [index, { inA, inB }] of plan.swapped.entries())
      for (const row of swaps(index) ? inB : inA) own[row] = 1;
    for (const index of first) {
      const { inA, inB } = plan.exchanged[index] as Unit;
      for (const row of [...inA, ...inB]) own[row] = 1;
    }
    division++;
    if (division % 64 === 0) {
      await new Promise(setImmediate);
      throwIfAborted(signal);
    }
  }
  return { members, exact };
}

/** Whether `divide` tries all divisions of a plan. */
export const isExact = ({ count }: DivisionPlan, draws: number): boolean =>
  count <= Math.max(fewDivisions, draws);

/** One division: which units have their rows swapped, and which of the exchanged ones are in the first set. */
interface Choice {
  swaps: (index: number) => boolean;
  first: Iterable<number>;
}

function* everyChoice({ exchanged, inFirst, count }: DivisionPlan): Generator<Choice> {
  const perCombination = count / choose(exchanged.length, inFirst);
  for (const first of combinations(exchanged.length, inFirst)) {
    // Bit i swaps unit i + 1 where the first never is.
    const offset = exchanged.length === 0 ? 1 : 0;
    for (let code = 0; code < perCombination; code++) {
      yield {
        first,
        swaps: (index) => index >= offset && Math.floor(code / 2 ** (index - offset)) % 2 === 1,
      };
    }
  }
}

function* randomChoices(
  { swapped, exchanged, inFirst }: DivisionPlan,
  draws: number,
  stream: RandomStream,
): Generator<Choice> {
  const order = Uint32Array.from({ length: exchanged.length }, (_, index) => index);
  yield { swaps: () => false, first: order.subarray(0, inFirst) };
  for (let draw = 0; draw < draws; draw++) {
    const swaps = swapped.map(() => stream.integer(0, 1) === 0);
    // The first places of a Fisher-Yates shuffle, which may begin with any order.
    for (let place = 0; place < inFirst; place++) {
      const other = stream.integer(place, exchanged.length - 1);
      const chosen = order[other] as number;
      order[other] = order[place] as number;
      order[place] = chosen;
    }
    yield { swaps: (index) => swaps[index] as boolean, first: order.subarray(0, inFirst) };
  }
}

/** Every way to choose `size` of the first `count` whole numbers, beginning with 0, 1, 2, ... */
function* combinations(count: number, size: number): Generator<number[]> {
  const chosen = Array.from({ length: size }, (_, index) => index);
  for (;;) {
    yield [...chosen];
    let place = size - 1;
    while (place >= 0 && chosen[place] === count - size + place) place--;
    if (place < 0) return;
    const next = (chosen[place] as number) + 1;
    for (let index = place; index < size; index++) chosen[index] = next + index - place;
  }
}

function choose(count: number, size: number): number {
  let ways = 1;
  for (let index = 1; index <= size; index++) ways = (ways * (count - size + index)) / index;
  return Math.round(ways);
}
