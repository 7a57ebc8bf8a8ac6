import { comparatorOf } from "../../alignment/distances.js";
import { pairSums, squaredMmd } from "../../alignment/mmd.js";
import { normalisations, normalisedPair } from "../../alignment/normalised.js";
import { throwIfAborted } from "../../common/errors.js";
import { average } from "../../common/numbers.js";
import type { TaskName } from "../../common/vocabulary.js";
import { compareMatchedRows, medianDistance } from "../../native/kernels.js";
import type { Tensor } from "../../native/tensor.js";
import type { CellResult } from "../../results/cell.js";
import type { Claim } from "../../results/claims.js";
import { type DistanceName, distanceNames } from "../../results/distances.js";
import type { Specification, SpecificationCurve } from "../../statistics/specification-curve.js";
import { ownStrategy } from "../../tasks/index.js";
import { csvField } from "./csv-field.js";
import { type KeptFeatures, orUndefined } from "./kept-features.js";

/** Bandwidths of MMD², as multiples of the median distance between the reference's features; beside the study's own. */
const bandwidths = [
  ["σ = median / 4", 0.25],
  ["σ = median", 1],
  ["σ = 4 median", 4],
] as const;

/** References that a gain is over in a specification: the paper's, training from scratch, and what takes no network. */
const references = ["random-weights", "from-scratch", "specialised", "trivial"] as const;

/** What can be chosen in a specification, in the order in which it is told. */
export const choiceNames = [
  "model",
  "distance",
  "layer",
  "pooling",
  "normalisation",
  "measure",
  "gain over",
  "gain as",
] as const;

type Choices = Record<(typeof choiceNames)[number], string>;

/** Values of one way to measure, by task and seed. */
interface Way {
  choices: Omit<Choices, "gain over" | "gain as">;
  byTask: Map<TaskName, (number | null)[]>;
}

/**
 * Every way to relate distances to gains that a study's kept features allow: at the embedding and at each depth of the
 * encoder, by each pooling, normalisation and measure, for D2R, D2P and D2S, against the gain over each reference as
 * percent and as difference. A task counts once, learnt in its own way where the study has that. The distance of a task is
 * the mean over seeds, and missing where that of any seed is none (saturated, collapsed, undefined).
 */
export async function specificationsOf(
  { done, claims, sigma }: { done: readonly CellResult[]; claims: readonly Claim[]; sigma: number },
  kept: KeptFeatures,
  signal?: AbortSignal,
): Promise<Specification[]> {
  const cells = countedOnce(done);
  const tasks = [...new Set(cells.map(({ task }) => task))];
  if (tasks.length < 3) return [];
  const ways = new Map<string, Way>();
  for (const cell of cells.filter(({ comparator }) => comparator === "fine-tuned")) {
    for (const distance of distanceNames) {
      const reference = cells.find(
        (other) => isBeside(cell, other) && other.comparator === comparatorOf[distance],
      );
      if (!reference) continue;
      throwIfAborted(signal);
      await orUndefined(() => measure(cell, reference, distance, sigma, kept, ways));
    }
  }
  return [...ways.values()].flatMap(({ choices, byTask }) =>
    references.flatMap((over) =>
      (["percent", "difference"] as const).flatMap((as): Specification[] => {
        const claimOf = (task: TaskName) =>
          claims.find(
            (one) =>
              one.task === task &&
              one.model === choices.model &&
              one.reference === over &&
              cells.some((cell) => cell.task === task && cell.strategy === one.strategy),
          );
        const y = tasks.map((task) => {
          const claim = claimOf(task);
          return (as === "percent" ? claim?.percent?.estimate : claim?.difference.estimate) ?? null;
        });
        if (y.every((value) => value === null)) return [];
        const x = tasks.map((task) => meanOf(byTask.get(task)));
        return [{ choices: { ...choices, "gain over": over, "gain as": as }, x, y }];
      }),
    ),
  );
}

/** Cells of each task by one strategy: its own, where the study has that. */
function countedOnce(done: readonly CellResult[]): CellResult[] {
  const own = new Set(
    done.filter((cell) => cell.comparator === "fine-tuned" && isOwn(cell)).map(({ task }) => task),
  );
  return done.filter((cell) => (own.has(cell.task) ? isOwn(cell) : !isOwn(cell)));
}

const isOwn = ({ task, strategy }: CellResult): boolean => strategy === ownStrategy(task);

const isBeside = (one: CellResult, other: CellResult): boolean =>
  (["task", "strategy", "model", "seed"] as const).every((key) => one[key] === other[key]);

/** Adds what all ways say of one distance. */
async function measure(
  fineTuned: CellResult,
  reference: CellResult,
  distance: DistanceName,
  sigma: number,
  kept: KeptFeatures,
  ways: Map<string, Way>,
): Promise<void> {
  const others = await layersOf(kept, reference.id);
  for (const { layer, pooling, read } of await layersOf(kept, fineTuned.id)) {
    const other = others.find((one) => one.layer === layer && one.pooling === pooling);
    if (!other) continue;
    using a = await read();
    using b = await other.read();
    for (const normalisation of normalisations) {
      const [x, y] = await normalisedPair(a, b, normalisation);
      try {
        for (const [name, value] of await measuresOf(x, y, sigma)) {
          const choices = { model: fineTuned.model, distance, layer, pooling, normalisation, measure: name };
          const key = JSON.stringify(choices);
          const way = ways.get(key) ?? { choices, byTask: new Map() };
          ways.set(key, way);
          const values = way.byTask.get(fineTuned.task) ?? [];
          way.byTask.set(fineTuned.task, values);
          values.push(value);
        }
      } finally {
        x.dispose();
        y.dispose();
      }
    }
  }
}

async function layersOf(kept: KeptFeatures, id: string) {
  const along = (await kept.depths(id)).map(({ depth, pooling, read }) => ({
    layer: depth,
    pooling: pooling as string,
    read,
  }));
  return [{ layer: "embedding", pooling: "mean", read: () => kept.embeddings(id) }, ...along];
}

/** Each measure of how far two sets lie apart; null where it is no distance. */
async function measuresOf(
  a: Tensor,
  b: Tensor,
  sigma: number,
): Promise<(readonly [string, number | null])[]> {
  const median = await medianDistance(b);
  const scaled = median > 0 ? bandwidths.map(([name, factor]) => [name, factor * median] as const) : [];
  const kernels = [[`σ = ${sigma}`, sigma] as const, ...scaled];
  const sums = await pairSums(
    a,
    b,
    kernels.map(([, value]) => value),
  );
  const mmd = new Map<string, number | null>(
    kernels.map(([name], index) => {
      const { biased, saturated } = squaredMmd(sums[index] as (typeof sums)[number], true);
      return [name, saturated ? null : biased] as const;
    }),
  );
  const { linearCka, procrustes, meanShift } = await compareMatchedRows(a, b);
  return [
    ...[`σ = ${sigma}`, ...bandwidths.map(([name]) => name)].map(
      (name) => [`MMD² at ${name}`, mmd.get(name) ?? null] as const,
    ),
    ["1 − linear CKA", linearCka === null ? null : 1 - linearCka],
    ["Procrustes", procrustes],
    ["mean shift", meanShift],
  ];
}

function meanOf(values: readonly (number | null)[] | undefined): number | null {
  const known = (values ?? []).flatMap((value) => value ?? []);
  if (known.length === 0 || known.length < (values ?? []).length) return null;
  return average(known);
}

/** Every specification with what it came to: one row each, in the order of r. */
export function specificationsCsv({ specifications }: SpecificationCurve): string {
  const lines = specifications.map(({ choices, n, r, significant }) =>
    [...choiceNames.map((name) => csvField(choices[name] ?? "")), n, r, significant ? "yes" : "no"].join(","),
  );
  return `${[[...choiceNames, "tasks", "r", "significant"].join(","), ...lines].join("\n")}\n`;
}
