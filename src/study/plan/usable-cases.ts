import { factsOf } from "../../cohort/case-volumes.js";
import { type CaseFacts, type Need, unmetNeed, wordsOfColumn } from "../../cohort/needs.js";
import type { PreparedCase } from "../../cohort/preprocess.js";
import { TransferLimitsError } from "../../common/errors.js";
import type { NetworkSpec } from "../../native/network-spec.js";
import { taskOf } from "../../tasks/index.js";
import type { Task } from "../../tasks/task.js";
import type { Study } from "../config/schema.js";
import { smallestBatchOf } from "../config/smallest-batch.js";
import { cohortOf, divisionOf, type StudyCohort } from "./cohort-file.js";
import type { PlannedCell } from "./plan.js";

/** Cases of the training and the test set that a cell cannot do without. */
export function leastCases(
  { trains, network }: { trains: string; network: NetworkSpec | null },
  task: Task,
  voxels: readonly [number, number, number],
): { train: number; test: number } {
  const train = trains === "nothing" || network === null ? 0 : smallestBatchOf(network, task.shape, voxels);
  return { train, test: 1 };
}

/** `PI-RADS (column "pirads")`, `ADC or high-b image (one of the columns "adc", "hbv")`. */
export function needWords({ oneOf, holds }: Need): string {
  const names = oneOf.map((column) => `"${column}"`).join(", ");
  const words = oneOf.map((column) => wordsOfColumn(column, holds)).join(" or ");
  return `${words} (${oneOf.length > 1 ? "one of the columns" : "column"} ${names})`;
}

/**
 * What is wrong with a set in which fewer cases than `least` have what is needed; null where there are enough.
 *
 * @param who what needs it: the name of a task
 * @param leftOut cases that were left out when their files were read, of whichever set
 */
export function tooFewCases(
  who: string,
  set: "train" | "test",
  needs: readonly Need[],
  cases: readonly CaseFacts[],
  least: number,
  leftOut: readonly { case: string; reason: string }[] = [],
): string | null {
  const unmet = cases.flatMap((facts) => {
    const need = unmetNeed(needs, facts);
    return need === null ? [] : [{ need, words: unmetWords(need, facts) }];
  });
  const found = cases.length - unmet.length;
  if (found >= least) return null;
  const asked = least === 1 ? "1 case" : `${least} cases (a step's batch norm needs as many)`;
  const lacks = [...new Set(unmet.map(({ words }) => words))].map(
    (words) => `${unmet.filter((one) => one.words === words).length} ${words}`,
  );
  const [unread] = leftOut;
  const mend = unmet.find(({ need }) => need.mend !== undefined)?.need.mend;
  const cures = [
    ...(unread
      ? [
          `mend the ${leftOut.length} cases of the cohort that were left out when they were read (${unread.case}: ` +
            `${unread.reason})`,
        ]
      : []),
    ...(unmet.length > 0 ? ["fill the column for more cases"] : []),
    ...(mend === undefined ? [] : [mend]),
    `enlarge split.${set}`,
  ].join(", or ");
  return (
    `expected at least ${asked} in the ${set} set with what ${who} needs, but of ${cases.length} there ` +
    `${found === 1 ? "is 1" : `are ${found}`}${lacks.length > 0 ? `: ${lacks.join(", ")}` : ""}. ` +
    `${cures.slice(0, 1).toUpperCase()}${cures.slice(1)}`
  );
}

/** What keeps a case from taking part, in words that follow how many. */
function unmetWords(need: Need, { roles }: CaseFacts): string {
  const isThere = need.oneOf.some((column) => roles.includes(column));
  return isThere ? `have nothing of ${needWords(need)} in the crop` : `lack ${needWords(need)}`;
}

/** What is wrong with the sets of a prepared cohort for a cell that belongs to a task; null where they do. */
export function tooFewPrepared(
  cell: PlannedCell,
  task: Task,
  cohort: StudyCohort,
  voxels: readonly [number, number, number],
): string | null {
  const { split } = cohortOf(divisionOf(cohort, cell.seed), task.name);
  const least = leastCases(cell, task, voxels);
  for (const set of ["train", "test"] as const) {
    const facts = split[set].map(factsOf);
    const reason = tooFewCases(task.name, set, task.needs, facts, least[set], cohort.excluded);
    if (reason !== null) return reason;
  }
  return null;
}

/** What is wrong with the part of a training set that a learning curve asks for; null where nothing is. */
export function tooFewOfPart(
  cell: PlannedCell,
  task: Task,
  voxels: readonly [number, number, number],
  part: readonly PreparedCase[],
  all: readonly PreparedCase[],
): string | null {
  if (cell.patients === undefined) return null;
  const { train } = leastCases(cell, task, voxels);
  const asked = `learningCurve.patients ${cell.patients}`;
  const patients = new Set(all.map(({ patient }) => patient)).size;
  if (part.length === all.length)
    return `${asked} is not fewer than the ${patients} patients of the training set with what ${task.name} needs`;
  if (part.length >= Math.max(train, 1)) return null;
  return (
    `${asked} gives ${part.length} of the ${all.length} training cases with what ${task.name} needs, but a step needs ` +
    `at least ${Math.max(train, 1)}: ask for more patients`
  );
}

/**
 * Refuses to train anything where none of the tasks' cells could then be tested: what pretraining takes would be lost.
 *
 * @throws `BAD_MANIFEST`, with the reasons
 */
export function refuseUntestable(study: Study, cells: readonly PlannedCell[], cohort: StudyCohort): void {
  const reasons = cells.flatMap((cell) => {
    const config = study.tasks.find(({ name }) => name === cell.task);
    // What takes no network is no reason to pretrain one.
    if (config === undefined || cell.network === null) return [];
    return [tooFewPrepared(cell, taskOf(config, cell.strategy ?? undefined), cohort, study.cohort.voxels)];
  });
  if (reasons.length === 0 || reasons.includes(null)) return;
  const shown = [...new Set(reasons)].map((reason) => `\n  ${reason}`).join("");
  throw new TransferLimitsError(
    "BAD_MANIFEST",
    `No task of the study can be trained and tested on the cases that could be read:${shown}`,
  );
}

/**
 * The first need that no case of a manifest meets, in words and with what to do; null where there is none.
 *
 * @param instead what else can be done, in words that follow "or"
 */
export function neverMet(
  who: string,
  needs: readonly Need[],
  cases: readonly CaseFacts[],
  manifest: string,
  instead: string,
): string | null {
  const need = needs.find((one) => cases.every((facts) => unmetNeed([one], facts) !== null));
  if (need === undefined) return null;
  const otherwise = need.mend ?? "fill the column in the manifest";
  return (
    `expected cases with ${needWords(need)}, which ${who} ${need.use ?? "needs"}, but none of the ${cases.length} of ${manifest} has one: ` +
    `${otherwise}, or ${instead}`
  );
}
