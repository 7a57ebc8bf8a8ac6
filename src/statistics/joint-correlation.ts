import { requireList, requireOptions } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { centredUnit, correlationOf, pearson } from "./correlation.js";
import {
  absoluteProduct,
  mostEnumerated,
  type PermutationOptions,
  shareReaching,
} from "./permuted-correlation.js";

/** Of fewer tasks no relation counts as supported by itself, whatever its p. */
export const fewestTasks = 8;

/** One relation among several that are looked at together: entry i of every panel is task i; null where it has none. */
export interface RelationPanel {
  x: readonly (number | null)[];
  y: readonly (number | null)[];
}

/** One panel's relation, judged among all. */
export interface PanelRelation {
  /** Tasks that have both values. */
  n: number;
  /** Pearson's; null for fewer than three tasks, or where x or y does not vary. */
  r: number | null;
  /** By permutation of this panel's tasks alone. */
  p: number | null;
  /** The chance that the largest |r| of all panels is this large where no panel has a relation. */
  jointP: number | null;
  /** The lowest and the highest r with one task left out; null where none of those is defined. */
  leaveOneOut: [low: number, high: number] | null;
  /** `undetermined` with fewer than eight tasks, or where chance gives as much among all panels. */
  verdict: "supported" | "undetermined";
  /** Why, in words. */
  reason: string;
}

/** Several relations, judged together. */
export interface JointCorrelation {
  /** The largest |r| of all panels; null where none has one. */
  largest: number | null;
  /** The chance of one as large in any panel where none has a relation. */
  p: number | null;
  method: "exact permutation" | "permutation";
  unit: "task";
  panels: PanelRelation[];
}

/**
 * Correlations over the same tasks, judged together: the tasks of y are put in the same other order in all panels, and
 * the largest |r| of all panels is compared with the given ones. So the chance of finding any relation where there is
 * none stays at alpha, however many panels are drawn and however alike they are.
 *
 * @throws `BAD_INPUT` for panels of different lengths, or a value that is neither finite nor null
 */
export function jointCorrelation(
  panels: readonly RelationPanel[],
  options: PermutationOptions = {},
): JointCorrelation {
  requireList(panels, "panels", "an array of panels { x, y }");
  requireOptions(options);
  const n = panels[0]?.x?.length ?? 0;
  for (const [index, panel] of panels.entries()) requirePanel(panel, `panels[${index}]`, n);
  const method = n <= mostEnumerated ? "exact permutation" : "permutation";
  const alone = panels.map((panel) => ofPairs(panel));
  const statistics = panels.map(absoluteCorrelation);
  const identity = Array.from({ length: n }, (_, i) => i);
  const given = alone.map((one, k) => (one.r === null ? 0 : (statistics[k]?.(identity) ?? 0)));
  const largestOf = (order: readonly number[]) => {
    let most = 0;
    for (const statistic of statistics) most = Math.max(most, statistic(order));
    return most;
  };
  const none = alone.every(({ r }) => r === null);
  const joint = none ? [] : shareReaching(n, given, largestOf, options);
  const judged = alone.map((one, k): PanelRelation => {
    const jointP = one.r === null ? null : (joint[k] as number);
    const own = one.r === null ? null : pearson(one.x, one.y, options).p;
    return { n: one.n, r: one.r, p: own, jointP, leaveOneOut: leavingOneOut(one), ...judge(one, jointP) };
  });
  const defined = judged.flatMap(({ jointP }) => jointP ?? []);
  return {
    largest: none ? null : Math.max(...given),
    p: none ? null : Math.min(...defined),
    method,
    unit: "task",
    panels: judged,
  };
}

function judge({ n, r }: Pairs, jointP: number | null): Pick<PanelRelation, "verdict" | "reason"> {
  const tasks = `${n} ${n === 1 ? "task" : "tasks"}`;
  if (n < fewestTasks) return { verdict: "undetermined", reason: `undecided: under ${fewestTasks} tasks` };
  if (r === null || jointP === null)
    return { verdict: "undetermined", reason: "undecided: it does not vary" };
  if (jointP < 0.05) return { verdict: "supported", reason: `supported over ${tasks}` };
  return { verdict: "undetermined", reason: `undecided: ${tasks}, chance gives as much` };
}

interface Pairs {
  n: number;
  x: number[];
  y: number[];
  r: number | null;
}

function ofPairs({ x, y }: RelationPanel): Pairs {
  const both = x.flatMap((value, i) =>
    value !== null && y[i] != null ? [[value, y[i] as number] as const] : [],
  );
  const own = both.map(([value]) => value);
  const other = both.map(([, value]) => value);
  return { n: both.length, x: own, y: other, r: correlationOf(own, other) };
}

function leavingOneOut({ n, x, y, r }: Pairs): [number, number] | null {
  if (r === null || n < 4) return null;
  const others = x.flatMap((_, left) => correlationOf(without(x, left), without(y, left)) ?? []);
  return others.length === 0 ? null : [Math.min(...others), Math.max(...others)];
}

const without = (values: readonly number[], index: number): number[] => values.filter((_, i) => i !== index);

/** |r| of a panel with its y in an order; 0 where that is undefined. A missing value goes along as one. */
function absoluteCorrelation({ x, y }: RelationPanel): (order: readonly number[]) => number {
  const complete = [...x, ...y].every((value) => value !== null);
  if (!complete) return (order) => Math.abs(ofPairs({ x, y: order.map((i) => y[i] ?? null) }).r ?? 0);
  if (x.length < 3) return () => 0;
  const [unitX, unitY] = [centredUnit([...x] as number[]), centredUnit([...y] as number[])];
  if (!unitX || !unitY) return () => 0;
  return (order) => absoluteProduct(unitX, unitY, order);
}

function requirePanel(panel: RelationPanel, name: string, n: number): void {
  requireOptions(panel, name);
  for (const side of ["x", "y"] as const) {
    const values = panel[side];
    requireList(values, `${name}.${side}`, "an array of numbers and nulls");
    if (values.length !== n)
      throw expected(`${n} entries, one a task, as in the first panel`, `${name}.${side}`, values.length);
    for (const [i, value] of values.entries())
      if (value !== null && !Number.isFinite(value))
        throw expected("a finite number or null", `${name}.${side}[${i}]`, value);
  }
}
