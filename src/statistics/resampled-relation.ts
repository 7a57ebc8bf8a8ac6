import { groupBy } from "../common/group-by.js";
import { randomStream } from "../common/random.js";
import type { TaskKind, TaskVariant } from "../common/vocabulary.js";
import type { CellResult } from "../results/cell.js";
import type { Claim, GainReference } from "../results/claims.js";
import type { Distance } from "../results/distances.js";
import type { Relation, ResampledRelation } from "../results/relations.js";
import { specificityAtSensitivity } from "../tasks/metrics.js";
import { cellsOf } from "./cells.js";
import { correlationOf } from "./correlation.js";
import { relativePerformanceGain } from "./gains.js";
import { sensitivityOf } from "./specificity-claim.js";
import { quantile } from "./summary.js";

/** A draw with replacement: how often each patient and each seed came up. */
interface Draw {
  patients: ReadonlyMap<string, number>;
  seeds: ReadonlyMap<number, number>;
}

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
      const drawn = { seeds: draw(seeds), patients: draw(patients) };
      const gains = new Map([...tasks].map(([task, { gain }]) => [task, gain(drawn)]));
      for (const [index, relation] of relations.entries()) {
        if (relation.r === null) continue;
        const r = this.correlated(relation, gains, drawn);
        if (r !== null) (values[index] as number[]).push(r);
      }
    }
    return values.map((own) =>
      own.length < 2
        ? null
        : {
            low: quantile(own, 0.025),
            high: quantile(own, 0.975),
            ...{ resamples: own.length, seeds: seeds.length, patients: patients.length },
          },
    );
  }

  /** r under a draw; null where a task has no gain or no distance in it. */
  private correlated(
    { model, distance, points }: Relation,
    gains: ReadonlyMap<TaskKind, number | null>,
    { seeds }: Draw,
  ): number | null {
    const [x, y]: [number[], number[]] = [[], []];
    for (const { task, strategy, counts } of points) {
      if (!counts) continue;
      const moved = weighted(
        this.distancesOf(JSON.stringify([model, distance, task, strategy])).map((one) => [
          one.paper.biased,
          seeds.get(one.seed) ?? 0,
        ]),
      );
      const gain = gains.get(task) ?? null;
      if (moved === null || gain === null) return null;
      x.push(moved);
      y.push(gain);
    }
    return correlationOf(x, y);
  }

  #byKey: Map<string, Distance[]> | null = null;
  private distancesOf(key: string): readonly Distance[] {
    this.#byKey ??= groupBy(this.distances, ({ model, name, task, strategy }) =>
      JSON.stringify([model, name, task, strategy]),
    );
    return this.#byKey.get(key) ?? [];
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
            : relativePerformanceGain(fineTuned, referenceValue);
        };
        return [task, { gain, seeds, patients: own.flatMap(patientsOf) }] as const;
      }),
    );
  }
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
  const sensitivity = sensitivityOf(metric.name);
  if (sensitivity === null) return () => metric.mean;
  return ({ patients }) => {
    const labels: boolean[] = [];
    const scores: number[] = [];
    for (const { case: id, patient = id, value, positive } of metric.cases) {
      for (let i = patients.get(patient) ?? 0; i > 0 && value !== null; i--) {
        labels.push(positive === true);
        scores.push(value);
      }
    }
    return labels.includes(true) && labels.includes(false)
      ? specificityAtSensitivity(labels, scores, sensitivity)
      : null;
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
  return weights === 0 ? null : sum / weights;
}
