import { requireList, requireOptions, requireTexts } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { centredUnit, correlationOf, smallestSignificant } from "./correlation.js";
import { fewestTasks } from "./joint-correlation.js";
import { type PermutationOptions, roundingShare, seeOrders, shareOf } from "./permuted-correlation.js";

/** Up to so many tasks every order of the gains is gone through: 7! = 5,040. */
const mostTasksExact = 7;

/** Orders drawn for more tasks. */
const defaultOrders = 1_999;

/** Fisher's z of a perfect correlation has no bound: |r| is taken to be at most this. */
const largestR = 1 - 1e-9;

/** One reasonable way of relating distances to gains. */
export interface Specification {
  /** What was chosen, by name, such as `{ layer: "stage 3", pooling: "mean" }`. */
  choices: Readonly<Record<string, string>>;
  /** The distance of each task; null where it has none. Task i is the same in every specification. */
  x: readonly (number | null)[];
  /** The gain of each task; null where it has none. */
  y: readonly (number | null)[];
}

/** What a specification came to. */
export interface SpecificationEstimate {
  choices: Readonly<Record<string, string>>;
  /** Tasks that have both values. */
  n: number;
  /** Pearson's, over tasks. */
  r: number;
  /** Whether |r| is at least the critical value of Student's t at 0.05. */
  significant: boolean;
}

/** A number over the whole curve, and the chance of one as large where distances and gains have no relation. */
export interface JointStatistic {
  value: number;
  p: number;
}

/** All specifications together. */
export interface SpecificationCurve {
  /** In the order of r; those that leave r undefined are left out. */
  specifications: SpecificationEstimate[];
  /** Specifications that leave r undefined: fewer than three tasks, or nothing varies. */
  undefined: number;
  tasks: number;
  /** The median r; |median| is what p is of. Null where no specification is defined. */
  median: JointStatistic | null;
  /** Specifications that are significant and have the sign that most of the significant ones have. */
  significant: JointStatistic | null;
  /** The mean over specifications of Fisher's z times √(n - 3), n at least 4; null where none has so many tasks. */
  averageZ: JointStatistic | null;
  method: "exact permutation" | "permutation";
  /** Orders of the gains that were looked at. */
  orders: number;
  /** No p can be lower, whatever the numbers are. */
  leastP: number;
  unit: "task";
  /** Of the median: `undetermined` for fewer than eight tasks, or where chance gives as much. */
  verdict: "supported" | "undetermined";
  /** Why, in words. */
  reason: string;
}

/**
 * Whether distances say something about gains, over all reasonable ways of asking at once (Simonsohn, Simmons & Nelson
 * 2020): the correlation over tasks of every specification, and how often as much comes about where there is no relation.
 * For that the gains are put in another order over the tasks, the same one in all specifications, so that p holds however
 * many there are and however alike. Three numbers of the whole curve are tested: the median r, the number of significant
 * results in the direction that most of them have, and the mean z. The median decides.
 *
 * @param options as of `jointCorrelation`: orders are drawn for more than seven tasks, by default 1,999
 * @throws `BAD_INPUT` for specifications of different lengths, or a value that is neither finite nor null
 *
 * @example
 * import { statistics } from "transfer-limits";
 *
 * const gains = [1, 2, 4, 3];
 * const { median, leastP } = statistics.specificationCurve([
 *   { choices: { layer: "stage 1" }, x: [0.1, 0.2, 0.3, 0.4], y: gains },
 *   { choices: { layer: "stage 2" }, x: [0.3, 0.2, 0.5, 0.4], y: gains },
 * ]);
 * console.log(median, leastP);
 */
export function specificationCurve(
  specifications: readonly Specification[],
  options: PermutationOptions = {},
): SpecificationCurve {
  requireList(specifications, "specifications", "an array of specifications { choices, x, y }");
  requireOptions(options);
  const tasks = specifications[0]?.x?.length ?? 0;
  for (const [index, one] of specifications.entries())
    requireSpecification(one, `specifications[${index}]`, tasks);
  const defined = specifications.flatMap((one) => estimateOf(one) ?? []);
  const given = statisticsOf(
    defined.map(({ estimate }) => estimate.r),
    defined,
  );
  const rs = new Float64Array(defined.length);
  const reached = { median: 0, significant: 0, averageZ: 0 };
  const { orders, exact } = seeOrders(
    tasks,
    (order) => {
      for (let k = 0; k < defined.length; k++) rs[k] = (defined[k] as Prepared).permuted(order);
      const now = statisticsOf(rs, defined);
      for (const key of ["median", "significant", "averageZ"] as const)
        if (Math.abs(now[key]) >= Math.abs(given[key]) * roundingShare) reached[key]++;
    },
    { resamples: defaultOrders, ...options },
    mostTasksExact,
  );
  const joint = (key: keyof typeof reached): JointStatistic | null =>
    defined.length === 0 ? null : { value: given[key], p: shareOf(reached[key], orders, exact) };
  const median = joint("median");
  return {
    specifications: defined.map(({ estimate }) => estimate).sort((a, b) => a.r - b.r),
    undefined: specifications.length - defined.length,
    tasks,
    median,
    significant: joint("significant"),
    averageZ: defined.some(({ estimate }) => estimate.n > 3) ? joint("averageZ") : null,
    method: exact ? "exact permutation" : "permutation",
    orders,
    leastP: exact ? 1 / orders : 1 / (orders + 1),
    unit: "task",
    ...judge(tasks, median),
  };
}

function judge(tasks: number, median: JointStatistic | null): Pick<SpecificationCurve, "verdict" | "reason"> {
  const words = `${tasks} ${tasks === 1 ? "task" : "tasks"}`;
  if (median === null) return { verdict: "undetermined", reason: "undecided: no specification is defined" };
  if (tasks < fewestTasks)
    return { verdict: "undetermined", reason: `undecided: under ${fewestTasks} tasks` };
  if (median.p < 0.05) return { verdict: "supported", reason: `supported over ${words}` };
  return { verdict: "undetermined", reason: `undecided: ${words}, chance gives as much` };
}

interface Prepared {
  estimate: SpecificationEstimate;
  /** The |r| from which on a result is significant. */
  critical: number;
  /** r with the gains in an order; 0 where that is undefined. */
  permuted(order: readonly number[]): number;
}

function estimateOf({ choices, x, y }: Specification): Prepared | null {
  const both = pairsOf(x, y);
  const r = correlationOf(both.x, both.y);
  if (r === null) return null;
  const n = both.x.length;
  const critical = smallestSignificantOf(n);
  const estimate = { choices, n, r, significant: Math.abs(r) >= critical };
  if (n < x.length)
    return {
      estimate,
      critical,
      permuted: (order) => {
        const now = pairsOf(
          x,
          order.map((i) => y[i] ?? null),
        );
        return correlationOf(now.x, now.y) ?? 0;
      },
    };
  const [unitX, unitY] = [centredUnit(both.x), centredUnit(both.y)] as [number[], number[]];
  const permuted = (order: readonly number[]) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += (unitX[i] as number) * (unitY[order[i] as number] as number);
    return sum;
  };
  return { estimate, critical, permuted };
}

function pairsOf(x: readonly (number | null)[], y: readonly (number | null)[]) {
  const both = x.flatMap((value, i) => (value === null || y[i] == null ? [] : [[value, y[i] as number]]));
  return { x: both.map(([value]) => value as number), y: both.map(([, value]) => value as number) };
}

const critical = new Map<number, number>();
function smallestSignificantOf(n: number): number {
  const known = critical.get(n) ?? smallestSignificant(n);
  critical.set(n, known);
  return known;
}

/** The numbers of a whole curve. */
function statisticsOf(rs: ArrayLike<number>, defined: readonly Prepared[]) {
  let positive = 0;
  let negative = 0;
  let z = 0;
  let counted = 0;
  for (let k = 0; k < defined.length; k++) {
    const { critical: least, estimate } = defined[k] as Prepared;
    const r = rs[k] as number;
    // What falls short of the critical value by rounding only counts as reaching it.
    if (r >= least * roundingShare) positive++;
    else if (-r >= least * roundingShare) negative++;
    if (estimate.n < 4) continue;
    counted++;
    z += Math.atanh(Math.max(-largestR, Math.min(largestR, r))) * Math.sqrt(estimate.n - 3);
  }
  return {
    median: medianOf(rs),
    significant: Math.max(positive, negative),
    averageZ: counted === 0 ? 0 : z / counted,
  };
}

function medianOf(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return 0;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

function requireSpecification(one: Specification, name: string, tasks: number): void {
  requireOptions(one, name);
  requireTexts(one.choices, `${name}.choices`);
  for (const side of ["x", "y"] as const) {
    const values = one[side];
    requireList(values, `${name}.${side}`, "an array of numbers and nulls");
    if (values.length !== tasks)
      throw expected(
        `${tasks} entries, one a task, as in the first specification`,
        `${name}.${side}`,
        values.length,
      );
    for (const [i, value] of values.entries())
      if (value !== null && !Number.isFinite(value))
        throw expected("a finite number or null", `${name}.${side}[${i}]`, value);
  }
}
