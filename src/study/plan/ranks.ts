import type { NetworkSpec } from "../../native/network-spec.js";
import type { Study } from "../config/schema.js";

/** What of a cell says whether anything is trained. */
interface Trained {
  trains: string;
  network: NetworkSpec | null;
}

/** How many processes train a cell together: as the study says, or one, where nothing is trained. */
export const ranksOf = ({ execution }: Pick<Study, "execution">, { trains, network }: Trained): number =>
  trains === "nothing" || network === null ? 1 : execution.ranks;

/**
 * What a cell takes of its device's memory: on a CPU all of the processes that train it together, which share it; a GPU has
 * one of them.
 *
 * @param ofOne what a process takes through whose network so many cases go at once
 */
export function memoryOf(
  study: Pick<Study, "execution">,
  cell: Trained,
  { batchSize, microBatch }: { batchSize: number; microBatch: number | null },
  ofOne: (cases: number) => number,
): number {
  const ranks = ranksOf(study, cell);
  const own = Math.ceil(batchSize / ranks);
  return (study.execution.device === "cpu" ? ranks : 1) * ofOne(Math.min(own, microBatch ?? own));
}
