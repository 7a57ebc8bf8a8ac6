import { columnWords } from "../cohort/columns.js";
import { type CaseFacts, type Need, unmetNeed } from "../cohort/needs.js";
import type { NetworkSpec } from "../native/network-spec.js";
import type { Task } from "../tasks/task.js";
import { smallestBatchOf } from "./smallest-batch.js";

/** Cases of the training and the test set that a cell cannot do without. */
export function leastCases(
  { trains, network }: { trains: string; network: NetworkSpec },
  task: Task,
  voxels: readonly [number, number, number],
): { train: number; test: number } {
  return { train: trains === "nothing" ? 0 : smallestBatchOf(network, task.shape, voxels), test: 1 };
}

/** `PI-RADS (column "pirads")`, `ADC or high-b image (one of the columns "adc", "hbv")`. */
export function needWords({ oneOf }: Need): string {
  const names = oneOf.map((column) => `"${column}"`).join(", ");
  const words = oneOf.map((column) => columnWords[column]).join(" or ");
  return `${words} (${oneOf.length > 1 ? "one of the columns" : "column"} ${names})`;
}

/**
 * What is wrong with a set in which fewer cases than `least` have what is needed; null where there are enough.
 *
 * @param who what needs it: the name of a task
 */
export function tooFewCases(
  who: string,
  set: "train" | "test",
  needs: readonly Need[],
  cases: readonly CaseFacts[],
  least: number,
): string | null {
  const unmet = cases.flatMap((facts) => unmetNeed(needs, facts) ?? []);
  const found = cases.length - unmet.length;
  if (found >= least) return null;
  const asked = least === 1 ? "1 case" : `${least} cases (a step's batch norm needs as many)`;
  const lacks = [...new Set(unmet)].map(
    (need) => `${unmet.filter((one) => one === need).length} lack ${needWords(need)}`,
  );
  const mend = unmet.find((need) => need.mend !== undefined)?.mend;
  return (
    `expected at least ${asked} in the ${set} set with what ${who} needs, but of ${cases.length} there ` +
    `${found === 1 ? "is 1" : `are ${found}`}${lacks.length > 0 ? `: ${lacks.join(", ")}` : ""}. ` +
    (unmet.length === 0
      ? `Enlarge split.${set}`
      : `Fill the column for more cases${mend === undefined ? "" : `, ${mend}`}, or enlarge split.${set}`)
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
    `expected cases with ${needWords(need)}, which ${who} needs, but none of the ${cases.length} of ${manifest} has one: ` +
    `${otherwise}, or ${instead}`
  );
}
