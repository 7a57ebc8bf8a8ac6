import type { Varied } from "./schema.js";

type WithSeeds = { seeds: number[] | { count: number; vary: Varied[] } };

/** What another seed changes where a study lists its seeds. */
const variedByLists: readonly Varied[] = ["weights", "order"];

/** The seeds of a study; where it gives a number of them, from 1 on. */
export const seedsOf = ({ seeds }: WithSeeds): number[] =>
  Array.isArray(seeds) ? seeds : Array.from({ length: seeds.count }, (_, index) => index + 1);

/** Whether another seed changes this. */
export const varies = ({ seeds }: WithSeeds, what: Varied): boolean =>
  (Array.isArray(seeds) ? variedByLists : seeds.vary).includes(what);

/** The seed that streams are named after which decide this: where it does not vary, the first one's for all. */
export const seedOf = (study: WithSeeds, what: Varied, seed: number): number =>
  varies(study, what) ? seed : (seedsOf(study)[0] as number);
