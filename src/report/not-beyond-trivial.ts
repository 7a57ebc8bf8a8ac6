import { hasOneSeed, means } from "./claim-words.js";
import { count, listing } from "./format.js";
import { taskInProse, verdictWords } from "./labels.js";
import { sharedModels, type TaskRow } from "./summary.js";

/**
 * The sentence on tasks that a fine-tuned model does no better than what takes no network, which comes before all else that
 * is said of it; nothing where there is no such task. Whoever is not ahead has beaten nothing, and neither has who is ahead
 * by what does not matter.
 */
export function notBeyondTrivial(model: string, rows: readonly TaskRow[]): string[] {
  const compared = rows.flatMap((row) => (row.claims.trivial ? [{ row, claim: row.claims.trivial }] : []));
  const oneSeed = compared.every(({ claim }) => hasOneSeed(claim));
  const unbeaten = compared.flatMap(({ row, claim }) => {
    if (claim.difference.estimate > 0 && claim.verdict !== "practically-equal") return [];
    const answer = sharedModels(row.entries.trivial).join(", ");
    const verdict = oneSeed ? "" : `: ${verdictWords[claim.verdict]}`;
    return [`${taskInProse(row)} (${means(claim)} of ${answer}${verdict})`];
  });
  if (unbeaten.length === 0) return [];
  const known = oneSeed ? ", as far as one seed can tell" : "";
  return [
    `${model} does not beat what takes no network on ${unbeaten.length} of ${count(compared.length, "task")}${known}: ${listing(unbeaten)}.`,
  ];
}
