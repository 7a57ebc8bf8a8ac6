import { damageOf } from "../../common/checksums.js";
import { TransferLimitsError } from "../../common/errors.js";
import { namesIn } from "../../common/names-in.js";
import { isThere } from "../../common/set-aside.js";
import { studyPaths } from "../../results/paths.js";
import { basisIn, keptWeights } from "../cell/cell-folder.js";
import { movedAway, placesOf } from "../cell/no-longer.js";
import { basesOf, type CellBasis } from "../plan/basis.js";
import { changesOf } from "../plan/changes.js";
import { checksumsOfWeights } from "../plan/check-weights.js";
import type { CheckedStudy } from "../plan/checked-study.js";
import { expectedCohort } from "../plan/expected-cohort.js";
import type { StudyPlan } from "../plan/plan.js";

/** What lies in a study's folder of a cell that the study asks for. */
export type CellState =
  /** It is finished, and rests on what it would rest on if it were computed now. */
  | { kind: "kept" }
  /** So does one that was moved away when the study was changed, and is moved back: it lies at `place`. */
  | { kind: "returns"; place: string }
  | { kind: "new" }
  /** What lies there rests on something else: it is moved away, and the cell computed. */
  | { kind: "changed"; reason: string }
  /** What lies there is not what was written. */
  | { kind: "damaged"; reason: string };

/** What lies in a study's folder, as seen from the study. */
export interface FolderStates {
  cells: Map<string, CellState>;
  /** Ids of finished cells that the study does not ask for. */
  others: string[];
  /** Cells that were moved away before, and do not return: how many of each id. */
  movedAway: Map<string, number>;
}

/**
 * What `run` would find in a study's folder, and nothing is written. Null where it cannot be told, as there is no LibTorch to
 * read the cache with.
 */
export async function plannedStates(checked: CheckedStudy): Promise<FolderStates | null> {
  const { study, plan } = checked;
  const folder = study.execution.output;
  const { cells, noLonger } = studyPaths(folder);
  if ([...(await namesIn(cells)), ...(await namesIn(noLonger))].length === 0)
    return {
      cells: new Map(plan.cells.map(({ id }) => [id, { kind: "new" }])),
      others: [],
      movedAway: new Map(),
    };
  try {
    const cohort = await expectedCohort(checked);
    return await statesOf(folder, plan, basesOf(study, plan, cohort, await checksumsOfWeights(study, plan)));
  } catch (error) {
    if (error instanceof TransferLimitsError && error.code === "LIBTORCH_MISSING") return null;
    throw error;
  }
}

/**
 * Looks at a study's folder, and writes nothing.
 *
 * @param sound ids of cells whose files were found to be what was written
 */
export async function statesOf(
  folder: string,
  { cells }: Pick<StudyPlan, "cells">,
  bases: ReadonlyMap<string, CellBasis>,
  sound: ReadonlySet<string> = new Set(),
): Promise<FolderStates> {
  const states = new Map<string, CellState>();
  const away = await movedAway(folder);
  for (const { id } of cells) {
    const state = await stateOf(folder, id, bases.get(id) as CellBasis, sound.has(id));
    states.set(id, state);
    if (state.kind === "returns") away.set(id, (away.get(id) as number) - 1);
  }
  for (const [id, count] of away) if (count === 0) away.delete(id);
  const there = await namesIn(studyPaths(folder).cells);
  const others = there.filter((name) => !name.endsWith(".failed.json") && !states.has(name)).sort();
  return { cells: states, others, movedAway: away };
}

async function stateOf(folder: string, id: string, basis: CellBasis, isSound: boolean): Promise<CellState> {
  const here = await stateIn(studyPaths(folder).cell(id), basis, isSound);
  if (here.kind === "kept") return here;
  for (const place of await placesOf(folder, id, basis.hash))
    if ((await stateIn(place, basis, false)).kind === "kept") return { kind: "returns", place };
  return here;
}

async function stateIn(
  place: string,
  now: CellBasis,
  isSound: boolean,
): Promise<Exclude<CellState, { kind: "returns" }>> {
  if (!(await isThere(place))) return { kind: "new" };
  const damage = isSound ? null : await damageOf(place, keptWeights);
  if (damage !== null) return { kind: "damaged", reason: damage };
  const before = await basisIn(place);
  const reason = before === null ? "made by another version of this package" : changesOf(before, now);
  return reason === null ? { kind: "kept" } : { kind: "changed", reason };
}
