import { sharesOfCases } from "../../alignment/case-shares.js";
import { compareAtDepth, compareSeeds, type SeedComparison } from "../../alignment/depth-distances.js";
import {
  comparatorOf,
  type FeatureScale,
  measureDistance,
  scaleOf,
  undefinedDistance,
} from "../../alignment/distances.js";
import { groupBy } from "../../common/group-by.js";
import type { Comparator } from "../../common/vocabulary.js";
import { medianDistance } from "../../native/kernels.js";
import type { CellResult } from "../../results/cell.js";
import type { DepthDistance, Distance, DistanceName, DriftBetweenSeeds } from "../../results/distances.js";
import { judgeDrift, rangeOf } from "../../statistics/drift.js";
import { type KeptFeatures, orUndefined, reasonOf } from "./kept-features.js";

const references = Object.entries(comparatorOf) as [DistanceName, Comparator][];

/** Whose features give the bandwidth for all distances of a task and model: the first that is done. */
const scaleFrom: readonly Comparator[] = ["pretrained", "random-weights", "from-scratch"];

/** The scale of features for all distances of a task, strategy and model, and the cell whose they are. */
type Scale = (FeatureScale & { cell: string }) | null;

/** The distances between a study's encoders, each computed once, however often they are asked for. */
export class MeasuredDistances {
  readonly #distances = new Map<string, Distance>();
  readonly #scales = new Map<string, Promise<FeatureScale | null>>();
  readonly #medians = new Map<string, Promise<number | null>>();
  readonly #pairs = new Map<string, SeedComparison | null>();

  /** @param sigma the study's */
  constructor(
    private readonly kept: KeptFeatures,
    private readonly sigma: number,
  ) {}

  /** Of every fine-tuned cell from each reference that is done. */
  async all(done: readonly CellResult[], signal: AbortSignal | undefined): Promise<Distance[]> {
    const distances: Distance[] = [];
    for (const cell of done.filter(({ comparator }) => comparator === "fine-tuned")) {
      for (const [name, comparator] of references) {
        const other = done.find(
          (one) => isAlike(one, cell) && one.seed === cell.seed && one.comparator === comparator,
        );
        if (!other) continue;
        const scale = await this.scale(cell, done);
        distances.push(await this.distance(name, cell, other, scale, signal));
      }
    }
    return distances;
  }

  /** How far the fine-tuned encoders of two seeds lie apart, for each task, strategy and model. */
  async drift(done: readonly CellResult[], distances: readonly Distance[]): Promise<DriftBetweenSeeds[]> {
    const fineTuned = done.filter(({ comparator }) => comparator === "fine-tuned");
    const groups = groupBy(fineTuned, ({ task, strategy, model }) => JSON.stringify([task, strategy, model]));
    const found: DriftBetweenSeeds[] = [];
    for (const cells of groups.values()) {
      const [first] = cells as [CellResult];
      const { task, strategy, model } = first;
      const d2p = distances.filter((one) => one.name === "D2P" && isAlike(one, first));
      const scale = await this.scale(first, done);
      const pairs: (SeedComparison | null)[] = [];
      for (const [index, one] of cells.entries())
        for (const other of cells.slice(0, index)) pairs.push(await this.pair(other, one, scale));
      // One pair that cannot be compared leaves the range of all undefined.
      const sound = pairs.every((pair) => pair !== null) ? (pairs as SeedComparison[]) : [];
      const depths = sound[0]?.depths.map(({ depth }) => depth) ?? [];
      found.push({
        ...{ task, strategy, model },
        seeds: cells.map(({ seed }) => seed),
        pairs: pairs.length,
        paper: rangeOf(sound.map(({ paper }) => paper.biased)),
        saturated: sound.some(({ paper }) => paper.saturated),
        medianHeuristic: rangeOf(sound.map(({ medianHeuristic }) => medianHeuristic.biased)),
        linearCka: rangeOf(sound.map(({ withoutKernel }) => withoutKernel.linearCka)),
        procrustes: rangeOf(sound.map(({ withoutKernel }) => withoutKernel.procrustes)),
        meanShift: rangeOf(sound.map(({ withoutKernel }) => withoutKernel.meanShift)),
        depths: depths.map((depth) => {
          const there = sound.map((pair) => pair.depths.find((one) => one.depth === depth)?.withoutKernel);
          return {
            depth,
            linearCka: rangeOf(there.map((one) => one?.linearCka ?? null)),
            procrustes: rangeOf(there.map((one) => one?.procrustes ?? null)),
            meanShift: rangeOf(there.map((one) => one?.meanShift ?? null)),
          };
        }),
        d2p: judgeDrift(
          d2p,
          sound.map(({ paper, medianHeuristic, withoutKernel }) => ({
            ...{ paper, medianHeuristic },
            procrustes: withoutKernel.procrustes,
          })),
          cells.length,
        ),
      });
    }
    return found;
  }

  /** The scale of features for a fine-tuned cell: the same for all seeds, so that their distances can be averaged. */
  private async scale(fineTuned: CellResult, done: readonly CellResult[]): Promise<Scale> {
    const beside = done.filter((one) => isAlike(one, fineTuned));
    for (const comparator of scaleFrom) {
      for (const { id } of beside.filter((one) => one.comparator === comparator)) {
        const known =
          this.#scales.get(id) ??
          orUndefined(async () => {
            using embeddings = await this.kept.embeddings(id);
            return await scaleOf(embeddings, comparator);
          });
        this.#scales.set(id, known);
        const scale = await known;
        if (scale !== null) return { ...scale, cell: id };
      }
    }
    return null;
  }

  private async distance(
    name: DistanceName,
    fineTuned: CellResult,
    reference: CellResult,
    scale: Scale,
    signal: AbortSignal | undefined,
  ): Promise<Distance> {
    const key = `${name} ${fineTuned.id} ${scale?.cell}`;
    const known = this.#distances.get(key);
    if (known) return known;
    const { task, strategy, model, seed } = fineTuned;
    const of = { name, task, strategy, model, seed };
    let shape: number[] = [];
    let distance: Distance;
    try {
      using a = await this.kept.embeddings(fineTuned.id);
      shape = a.shape;
      using b = await this.kept.embeddings(reference.id);
      const options = { sigma: this.sigma, scale, ...(signal ? { signal } : {}) };
      const measured = await measureDistance(of, a, b, options);
      const shares = await sharesOfCases(a, b, { sigma: this.sigma, biased: measured.paper.biased }, signal);
      const depths = await this.depths(fineTuned.id, reference.id, scale);
      distance = {
        ...measured,
        ...(shares === null ? {} : { shares }),
        ...(depths === null || depths.length === 0 ? {} : { depths }),
      };
    } catch (error) {
      // A distance that cannot be computed says why in its place, beside the results that are sound.
      distance = undefinedDistance(of, shape, reasonOf(error));
    }
    this.#distances.set(key, distance);
    return distance;
  }

  private async pair(one: CellResult, other: CellResult, scale: Scale): Promise<SeedComparison | null> {
    const key = `${one.id} ${other.id} ${scale?.cell}`;
    const known = this.#pairs.get(key);
    if (known !== undefined) return known;
    const found = await orUndefined(async (): Promise<SeedComparison | null> => {
      // Where each seed divides the patients anew, it has test cases of its own.
      if ((await this.kept.cases(one.id)) !== (await this.kept.cases(other.id))) return null;
      using a = await this.kept.embeddings(one.id);
      using b = await this.kept.embeddings(other.id);
      const compared = await compareSeeds(a, b, { sigma: this.sigma, median: scale?.distance ?? this.sigma });
      return { ...compared, depths: (await this.depths(one.id, other.id, scale)) ?? [] };
    });
    this.#pairs.set(key, found);
    return found;
  }

  /** Two encoders at each depth that both have, each case by its mean over positions; null where features are not sound. */
  private depths(one: string, other: string, scale: Scale): Promise<DepthDistance[] | null> {
    return orUndefined(async () => {
      const own = (await this.kept.depths(one)).filter(({ pooling }) => pooling === "mean");
      const others = await this.kept.depths(other);
      const found: DepthDistance[] = [];
      for (const { depth, pooling, read } of own) {
        const beside = others.find((another) => another.depth === depth && another.pooling === pooling);
        if (!beside) continue;
        using a = await read();
        using b = await beside.read();
        const sigma = scale === null ? null : await this.medianAt(depth, scale.cell);
        found.push(await compareAtDepth(depth, a, b, sigma));
      }
      return found;
    });
  }

  /** The median distance between a cell's cases at a depth; null where it tells at least half of the pairs not apart. */
  private medianAt(depth: string, cell: string): Promise<number | null> {
    const key = `${depth} ${cell}`;
    const known =
      this.#medians.get(key) ??
      orUndefined(async () => {
        const all = await this.kept.depths(cell);
        const there = all.find((one) => one.depth === depth && one.pooling === "mean");
        if (!there) return null;
        using rows = await there.read();
        const median = await medianDistance(rows);
        return median > 0 ? median : null;
      });
    this.#medians.set(key, known);
    return known;
  }
}

const isAlike = (
  one: Pick<CellResult, "task" | "strategy" | "model">,
  other: Pick<CellResult, "task" | "strategy" | "model">,
): boolean => one.task === other.task && one.strategy === other.strategy && one.model === other.model;
