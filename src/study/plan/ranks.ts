import type { NetworkSpec } from "../../native/network-spec.js";
import type { Study } from "../config/schema.js";

/** What of a cell says by how many processes it is trained. */
interface Trained {
  kind: string;
  model: string;
  trains: string;
  network: NetworkSpec | null;
}

/**
 * How many processes train a cell together: as the study says, or one, where nothing is trained, or by a method that compares
 * the cases of a whole batch with each other.
 */
export function ranksOf(
  { execution, models }: Pick<Study, "execution" | "models">,
  { kind, model, trains, network }: Trained,
): number {
  if (trains === "nothing" || network === null) return 1;
  const method = models.find(({ name }) => name === model)?.pretrain?.method;
  return kind === "pretraining" && method !== "masked-autoencoder" ? 1 : execution.ranks;
}

/**
 * What a cell takes of its device's memory: on a CPU all of the processes that train it together, which share it; a GPU has
 * one of them.
 *
 * @param ofOne what a process takes through whose network so many cases go at once
 */
export function memoryOf(
  study: Pick<Study, "execution" | "models">,
  cell: Trained,
  { batchSize, microBatch }: { batchSize: number; microBatch: number | null },
  ofOne: (cases: number) => number,
): number {
  const ranks = ranksOf(study, cell);
  const own = Math.ceil(batchSize / ranks);
  return (study.execution.device === "cpu" ? ranks : 1) * ofOne(Math.min(own, microBatch ?? own));
}
