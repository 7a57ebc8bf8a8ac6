import { requireFinite, requireOptions } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { groupBy } from "../common/group-by.js";
import { average } from "../common/numbers.js";
import type { CellResult } from "../results/cell.js";
import { type CurvePoint, curveComparators, type LearningCurve } from "../results/learning-curves.js";
import {
  type CurveLevel,
  crossedTest,
  type DifferenceTest,
  placeOf,
  type Table,
  worthInPatients,
} from "./break-even.js";
import { patientsOf, requireCells, valuesByCase } from "./cells.js";
import { crossedDifference, crossedPair } from "./crossed.js";
import { directionOf, turned } from "./direction.js";
import { dividedDifference } from "./divided.js";
import { computeIntervals } from "./metric-intervals.js";
import { fewestSeeds } from "./set-claim.js";
import { setTables } from "./set-curve.js";
import { studentQuantile } from "./student-t.js";
import { type WorthInNumbers, worthInWords } from "./worth-words.js";

type CurveComparator = CurvePoint["comparator"];

/** The cells of a comparator that were trained on as many patients, one a seed. */
interface Trained {
  patients: number;
  cells: CellResult[];
}

/**
 * The learning curves of a study: each fine-tuned model on each task, beside training from scratch and what takes no
 * network, and how many patients pretraining is worth.
 *
 * @param full cells that are trained on all patients
 * @param parts cells that are trained on fewer
 * @param pretrainingSeconds device seconds that pretraining took, by model
 * @throws `BAD_INPUT` for what are no results of cells
 */
export function computeLearningCurves(
  full: readonly CellResult[],
  parts: readonly CellResult[],
  pretrainingSeconds: ReadonlyMap<string, number> = new Map(),
): LearningCurve[] {
  requireCells(full);
  requireCells(parts);
  for (const [index, { cost }] of [...full, ...parts].entries()) {
    requireOptions(cost, `cells[${index}].cost`);
    requireFinite(cost.deviceSeconds, `cells[${index}].cost.deviceSeconds`);
  }
  if (!(pretrainingSeconds instanceof Map))
    throw expected("a Map of seconds by model", "pretrainingSeconds", pretrainingSeconds);
  const learnt = parts.filter(
    ({ comparator }) => comparator === "fine-tuned" || comparator === "from-scratch",
  );
  const groups = groupBy(learnt, ({ task, strategy, model }) => JSON.stringify([task, strategy, model]));
  return [...groups.values()].flatMap((own) => {
    const { task, strategy, model, metric } = own[0] as CellResult;
    const of = (comparator: CurveComparator) =>
      curveOf([...full, ...parts], { task, strategy, model }, comparator);
    const curves = Object.fromEntries(curveComparators.map((name) => [name, of(name)])) as Record<
      CurveComparator,
      Trained[]
    >;
    const points = curveComparators.flatMap((name) => curves[name].flatMap((one) => pointOf(name, one)));
    if (points.length === 0) return [];
    const worth = worthOf(
      curves["fine-tuned"],
      curves["from-scratch"],
      pretrainingSeconds.get(model) ?? null,
    );
    return [{ task, strategy, model, metric: metric.name, points, worth }];
  });
}

/** The cells of one comparator on a task, by the number of patients they were trained on. */
function curveOf(
  cells: readonly CellResult[],
  { task, strategy, model }: Pick<CellResult, "task" | "strategy" | "model">,
  comparator: CurveComparator,
): Trained[] {
  const mine = cells.filter(
    (cell) =>
      cell.comparator === comparator &&
      cell.task === task &&
      cell.metric.mean !== null &&
      cell.trainedOn !== undefined &&
      (comparator === "trivial" || (cell.strategy === strategy && cell.model === model)),
  );
  const levels = groupBy(mine, ({ trainedOn }) => String(trainedOn?.asked ?? "all"));
  return [...levels.values()]
    .map((own) => ({
      patients: average(own.map(({ trainedOn }) => trainedOn?.patients as number)),
      cells: own,
    }))
    .sort((a, b) => a.patients - b.patients);
}

function pointOf(comparator: CurveComparator, { patients, cells }: Trained): CurvePoint {
  const [table] = tablesOf([cells]) as [number[][]];
  const mean = average(table.map(average));
  const [low, high] = intervalOf(cells, table) ?? [null, null];
  const seconds = average(cells.map(({ cost }) => cost.deviceSeconds));
  return { comparator, patients, seeds: cells.map(({ seed }) => seed), mean, low, high, seconds };
}

/** Of a mean over seeds and patients; what takes no network has one seed, as nothing of it is random, and only patients differ. */
function intervalOf(cells: readonly CellResult[], table: Table): [number, number] | null {
  const [first] = cells as [CellResult];
  const isSure = first.comparator === "trivial";
  if (first.metric.standardDeviation === null && first.division === undefined) {
    if (cells.length < 2 && !isSure) return null;
    const { low = null, high = null } =
      computeIntervals(cells, { resamples: 600 }).find(({ metric }) => metric === first.metric.name) ?? {};
    return low === null || high === null ? null : [low, high];
  }
  if (isSure && cells.length === 1) return overPatients(table[0] as readonly number[]);
  const none = table.map((row) => row.map(() => 0));
  const division = cells[0]?.division;
  if (division) {
    const of = (rows: Table) => rows.map((row) => average(row));
    return dividedDifference(of(table), of(none), division)?.interval(0.95) ?? null;
  }
  return crossedDifference(crossedPair(table, none))?.interval(0.95) ?? null;
}

/** Student's, of a mean over patients alone; null for one. */
function overPatients(values: readonly number[]): [number, number] | null {
  if (values.length < 2) return null;
  const mean = average(values);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const half =
    studentQuantile(0.05, values.length - 1) * Math.sqrt(squares / (values.length - 1) / values.length);
  return [mean - half, mean + half];
}

/** What pretraining is worth, from the seeds that both have at every level; null where there are too few levels. */
function worthOf(
  fineTuned: readonly Trained[],
  fromScratch: readonly Trained[],
  pretrainingSeconds: number | null,
): LearningCurve["worth"] {
  const lasts = [fineTuned.at(-1), fromScratch.at(-1)];
  const seedsOf = (one: Trained | undefined) => new Set(one?.cells.map(({ seed }) => seed));
  const all = [...seedsOf(lasts[0])].filter((seed) => seedsOf(lasts[1]).has(seed));
  const levels = fineTuned.flatMap((own) => {
    const other = fromScratch.find(({ patients }) => patients === own.patients);
    const of = (one: Trained | undefined) => all.map((seed) => one?.cells.find((cell) => cell.seed === seed));
    const both = [of(own), of(other)] as [CellResult[], CellResult[]];
    return both.flat().includes(undefined as never) ? [] : [{ patients: own.patients, both }];
  });
  const [first] = levels;
  if (all.length === 0 || levels.length < 2 || !first) return null;
  const [cell] = first.both[0] as [CellResult];
  const lists = levels.flatMap(({ both }) => both);
  const { tables, test } = (cell.division === undefined ? setTables(lists) : null) ?? {
    tables: tablesOf(lists),
    test: testOf(cell),
  };
  const direction = directionOf(cell.metric);
  const asBetter = (table: Table | undefined): Table =>
    (table as Table).map((row) => row.map((value) => turned(value, direction)));
  const curve: CurveLevel[] = levels.map(({ patients }, index) => ({
    patients,
    fineTuned: asBetter(tables[2 * index]),
    fromScratch: asBetter(tables[2 * index + 1]),
  }));
  const worth = worthInPatients(curve, test);
  const hours = (side: 0 | 1, patients: number) => hoursAt(levels, side, patients);
  const last = levels.at(-1)?.patients as number;
  const savedBy = (patients: number | null) =>
    patients === null
      ? null
      : patients >= 0
        ? hours(1, last) - hours(0, last - patients)
        : hours(1, last + patients) - hours(0, last);
  const { low = null, high = null } = worth.interval ?? {};
  const numbers: WorthInNumbers = {
    ...worth,
    hours: { saved: savedBy(worth.patients), low: savedBy(low), high: savedBy(high) },
    pretrainingHours: pretrainingSeconds === null ? null : pretrainingSeconds / 3600,
  };
  const about = { all: last, unit: unitOf(cell), whyNone: whyNone(cell, all.length) };
  return { ...numbers, words: worthInWords(numbers, about) };
}

/** Why there is no interval, where there is none. */
function whyNone({ metric }: CellResult, seeds: number): string {
  if (seeds < 2) return "with one seed nobody knows how much a result moves from one training to the next";
  return metric.standardDeviation === null
    ? `${metric.name} is one number for the whole test set, to which only ${fewestSeeds} seeds or more and patients of both kinds give an interval`
    : "with one test patient nobody knows how much patients differ";
}

const unitOf = ({ cost }: CellResult): string => (cost.device === "cpu" ? "hours of the CPU" : "GPU-hours");

function testOf({ division }: CellResult): DifferenceTest {
  if (!division) return crossedTest;
  return (fineTuned, fromScratch) => {
    const [first, second] = [fineTuned, fromScratch].map((rows) => rows.map((row) => average(row))) as [
      number[],
      number[],
    ];
    const p = dividedDifference(first, second, division)?.p ?? null;
    return { estimate: average(first) - average(second), p };
  };
}

/** Device hours of one training on so many patients, linear between levels. */
function hoursAt(
  levels: readonly { patients: number; both: [CellResult[], CellResult[]] }[],
  side: 0 | 1,
  patients: number,
): number {
  const { below, above } = placeOf(levels, patients);
  const at = (index: number) =>
    average((levels[index]?.both[side] ?? []).map(({ cost }) => cost.deviceSeconds)) / 3600;
  const [from, to] = [levels[below]?.patients as number, levels[above]?.patients as number];
  const share = to === from ? 0 : (patients - from) / (to - from);
  return at(below) + share * (at(above) - at(below));
}

/**
 * The numbers of several lists of cells, a row a cell and a column a patient whom all of them have a value of. One column
 * where the metric is one of the whole set, and where cells test other patients.
 */
function tablesOf(lists: readonly (readonly CellResult[])[]): number[][][] {
  const [first] = lists.flat() as [CellResult];
  const whole = lists.map((cells) => cells.map(({ metric }) => [metric.mean as number]));
  if (first.metric.standardDeviation === null || first.division !== undefined) return whole;
  const values = lists.map((cells) => cells.map(valuesByCase));
  const shared = [...(values[0]?.[0]?.keys() ?? [])].filter((id) =>
    values.flat().every((one) => one.has(id)),
  );
  if (shared.length === 0) return whole;
  const patientOf = patientsOf(first);
  const patients = [...groupBy(shared, (id) => patientOf.get(id) as string).values()];
  return values.map((rows) =>
    rows.map((row) => patients.map((ids) => average(ids.map((id) => row.get(id) as number)))),
  );
}
