import { groupBy } from "../common/group-by.js";
import { average } from "../common/numbers.js";
import { randomStream } from "../common/random.js";
import type { TaskName, TaskVariant } from "../common/vocabulary.js";
import type { CellResult } from "../results/cell.js";
import type { Claim, GainReference } from "../results/claims.js";
import type { Distance } from "../results/distances.js";
import type { Relation, ResampledRelation } from "../results/relations.js";
import { type ScoredCase, setMetricOf } from "../tasks/set-metrics.js";
import { cellsOf } from "./cells.js";
import { correlationOf } from "./correlation.js";
import { directionOf, turned } from "./direction.js";
import { relativePerformanceGain } from "./gains.js";
import { normal975 } from "./normal.js";
import { quantile } from "./sample-statistics.js";
import { studentQuantile } from "./student-t.js";

/** A draw with replacement: how often each patient came up, and what each seed weighs. */
interface Draw {
  patients: ReadonlyMap<string, number>;
  seeds: ReadonlyMap<number, number>;
}

/**
 * What seeds weigh that came up so often. Means of S drawn seeds vary by (S - 1) / S of what they should, which is much where
 * seeds are few: the weights lie further from 1 by the root of that.
 */
function weightsOf(drawn: ReadonlyMap<number, number>, seeds: readonly number[]): Map<number, number> {
  const further = seeds.length < 2 ? 1 : Math.sqrt(seeds.length / (seeds.length - 1));
  return new Map(seeds.map((seed) => [seed, 1 + further * ((drawn.get(seed) ?? 0) - 1)]));
}

/**
 * From the lowest to the highest r that the resamples leave open. Noise in gains and distances brings r towards 0, and drawn
 * anew a second time it brings it further still: the middle 95 % of the resamples lie where r would be of twice the noise.
 * On the scale of Fisher's z the interval is therefore moved as far to the other side of r as resamples lie on this one, is as
 * wide as Student's t with one degree less than seeds makes it, and holds the middle 95 % besides.
 */
function rangeOf(resamples: readonly number[], r: number, seeds: number): { low: number; high: number } {
  const z = (value: number) => Math.atanh(Math.min(farthest, Math.max(-farthest, value)));
  const scaled = resamples.map(z);
  const mean = average(scaled);
  const squares = scaled.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (scaled.length - 1));
  const half = deviation * (seeds < 2 ? normal975 : studentQuantile(0.05, seeds - 1));
  const middle = 2 * z(r) - mean;
  return {
    low: Math.min(quantile(resamples, 0.025), Math.tanh(middle - half)),
    high: Math.max(quantile(resamples, 0.975), Math.tanh(middle + half)),
  };
}

/** Beyond it Fisher's z would be infinite. */
const farthest = 1 - 1e-12;

/** One side of a comparison under a draw: its metric, averaged over the seeds drawn; null where nothing of it was drawn. */
type Side = (draw: Draw) => number | null;

/**
 * Draws patients and seeds anew, the same ones for all tasks of a model, and correlates anew. Draws come from the stream
 * `("relation", model, reference)` under seed 0, so that the same results give the same interval.
 */
export class RelationResampler {
  readonly #othersOf = new Map<GainReference, ReturnType<typeof cellsOf>>();

  constructor(
    private readonly cells: readonly CellResult[],
    private readonly claims: readonly Claim[],
    private readonly distances: readonly Distance[],
    private readonly resamples: number,
  ) {}

  /** Of relations of one model over one reference; null where r is. */
  intervalsOf(relations: readonly Relation[]): (ResampledRelation | null)[] {
    const [first] = relations;
    if (first === undefined || relations.every(({ r }) => r === null)) return relations.map(() => null);
    const { model, reference } = first;
    const counted = relations.flatMap(({ points }) => points.filter(({ counts }) => counts));
    const tasks = this.tasksOf(model, reference, counted);
    const seeds = [...new Set([...tasks.values()].flatMap((task) => task.seeds))];
    const patients = [...new Set([...tasks.values()].flatMap((task) => task.patients))];
    const random = randomStream(0, "relation", model, reference);
    const draw = <Item>(items: readonly Item[]): Map<Item, number> => {
      const counts = new Map<Item, number>();
      for (let i = 0; i < items.length; i++) {
        const item = items[random.integer(0, items.length - 1)] as Item;
        counts.set(item, (counts.get(item) ?? 0) + 1);
      }
      return counts;
    };
    const values = relations.map((): number[] => []);
    for (let b = 0; b < this.resamples; b++) {
      const drawn = { seeds: weightsOf(draw(seeds), seeds), patients: draw(patients) };
      const gains = new Map([...tasks].map(([task, { gain }]) => [task, gain(drawn)]));
      for (const [index, relation] of relations.entries()) {
        if (relation.r === null) continue;
        const r = this.correlated(relation, gains, drawn);
        if (r !== null) (values[index] as number[]).push(r);
      }
    }
    return values.map((own, index) =>
      own.length < 2
        ? null
        : {
            ...rangeOf(own, (relations[index] as Relation).r as number, seeds.length),
            ...{ resamples: own.length, seeds: seeds.length, patients: patients.length },
          },
    );
  }

  /** r under a draw; null where a task has no gain or no distance in it. */
  private correlated(
    { model, distance, points }: Relation,
    gains: ReadonlyMap<TaskName, number | null>,
    drawn: Draw,
  ): number | null {
    const [x, y]: [number[], number[]] = [[], []];
    for (const { task, strategy, counts } of points) {
      if (!counts) continue;
      const moved = weighted(
        this.distancesOf(JSON.stringify([model, distance, task, strategy])).map((one) => [
          one.under(drawn.patients),
          drawn.seeds.get(one.seed) ?? 0,
        ]),
      );
      const gain = gains.get(task) ?? null;
      if (moved === null || gain === null) return null;
      x.push(moved);
      y.push(gain);
    }
    return correlationOf(x, y);
  }

  readonly #byKey = new Map<string, DrawnDistance[]>();
  private distancesOf(key: string): readonly DrawnDistance[] {
    const known = this.#byKey.get(key);
    if (known) return known;
    const keyOf = ({ model, name, task, strategy }: Distance) =>
      JSON.stringify([model, name, task, strategy]);
    const found = this.distances
      .filter((one) => keyOf(one) === key)
      .map((one) => {
        const cell = this.cells.find(
          ({ comparator, task, strategy, model, seed }) =>
            comparator === "fine-tuned" &&
            task === one.task &&
            strategy === one.strategy &&
            model === one.model &&
            seed === one.seed,
        );
        return { seed: one.seed, under: distanceUnder(one, cell) };
      });
    this.#byKey.set(key, found);
    return found;
  }

  /** Each task's gain under a draw, by the strategy that counts. */
  private tasksOf(model: string, reference: GainReference, counted: readonly TaskVariant[]) {
    const othersOf = this.#othersOf.get(reference) ?? cellsOf(this.cells, reference);
    this.#othersOf.set(reference, othersOf);
    const claims = this.claims.filter(
      (claim) =>
        claim.model === model &&
        claim.reference === reference &&
        counted.some(({ task, strategy }) => claim.task === task && claim.strategy === strategy),
    );
    return new Map(
      claims.map(({ task, strategy, seeds }) => {
        const own = this.cells.filter(
          (cell) =>
            cell.comparator === "fine-tuned" &&
            cell.model === model &&
            cell.task === task &&
            cell.strategy === strategy &&
            seeds.includes(cell.seed),
        );
        const others = own.flatMap((cell) => othersOf(cell).at(-1) ?? []);
        const sides = [own, others].map((cells) => sideOf(cells, own)) as [Side, Side];
        const gain = (draw: Draw): number | null => {
          const [fineTuned, referenceValue] = sides.map((side) => side(draw)) as [
            number | null,
            number | null,
          ];
          return fineTuned === null || referenceValue === null
            ? null
            : turnedGain(fineTuned, referenceValue, own[0]);
        };
        return [task, { gain, seeds, patients: own.flatMap(patientsOf) }] as const;
      }),
    );
  }
}

/** Positive where the fine-tuned model is the better one. */
function turnedGain(fineTuned: number, reference: number, cell: CellResult | undefined): number | null {
  const gain = relativePerformanceGain(fineTuned, reference);
  return gain === null || cell === undefined ? gain : turned(gain, directionOf(cell.metric));
}

/** A distance of a seed, of patients that were drawn. */
interface DrawnDistance {
  seed: number;
  under: (patients: Draw["patients"]) => number | null;
}

/** By what each patient's cases add to it; as it is where that is not known. */
function distanceUnder(
  { paper: { biased }, shares }: Distance,
  cell: CellResult | undefined,
): DrawnDistance["under"] {
  const cases = cell?.metric.cases ?? [];
  if (biased === null || shares === undefined || shares.length !== cases.length) return () => biased;
  const byPatient = groupBy(cases.keys(), (index) => {
    const { case: id, patient = id } = cases[index] as (typeof cases)[number];
    return patient;
  });
  const own = [...byPatient].map(([patient, indices]) => ({
    patient,
    cases: indices.length,
    // A mean over pairs moves by both of a pair.
    moves: indices.reduce((sum, index) => sum + 2 * ((shares[index] as number) - biased), 0),
  }));
  return (patients) => {
    let [sum, drawn] = [0, 0];
    for (const one of own) {
      const times = patients.get(one.patient) ?? 0;
      sum += times * one.moves;
      drawn += times * one.cases;
    }
    return drawn === 0 ? null : Math.max(0, biased + sum / drawn);
  };
}

const patientsOf = ({ metric }: CellResult): string[] =>
  metric.cases.map(({ case: id, patient = id }) => patient);

/** @param own the fine-tuned cells, whose seeds the others stand for */
function sideOf(cells: readonly CellResult[], own: readonly CellResult[]): Side {
  const ofSeed = cells.map(underPatients);
  return (draw) =>
    weighted(
      ofSeed.map((value, index) => [value(draw), draw.seeds.get((own[index] as CellResult).seed) ?? 0]),
    );
}

/** A cell's metric over the patients drawn: the mean of their means, or that of the whole set of their cases. */
function underPatients({ metric }: CellResult): Side {
  if (metric.standardDeviation !== null) {
    const byPatient = groupBy(
      metric.cases.filter(({ value }) => value !== null),
      ({ case: id, patient = id }) => patient,
    );
    const means = [...byPatient].map(
      ([patient, cases]) =>
        [patient, cases.reduce((sum, { value }) => sum + (value as number), 0) / cases.length] as const,
    );
    return ({ patients }) => weighted(means.map(([patient, value]) => [value, patients.get(patient) ?? 0]));
  }
  const statistic = setMetricOf(metric.name)?.of(metric.cases as ScoredCase[]) ?? null;
  if (statistic === null) return () => metric.mean;
  return ({ patients }) => {
    const drawn = metric.cases.flatMap(({ case: id, patient = id }, index) =>
      new Array<number>(patients.get(patient) ?? 0).fill(index),
    );
    const value = statistic(drawn);
    return Number.isFinite(value) ? value : null;
  };
}

/** The mean of values with weights; null where no value has any. */
function weighted(values: readonly (readonly [value: number | null, weight: number])[]): number | null {
  let [sum, weights] = [0, 0];
  for (const [value, weight] of values) {
    if (value === null || weight === 0) continue;
    sum += weight * value;
    weights += weight;
  }
  return weights <= 0 ? null : sum / weights;
}
