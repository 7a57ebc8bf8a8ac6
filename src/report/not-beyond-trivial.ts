import type { Answer } from "../results/answers.js";
import { means } from "./claim-words.js";
import { count, listing } from "./format.js";
import { taskInProse, verdictWords } from "./labels.js";
import { sharedModels, type TaskRow } from "./report-summary.js";

/**
 * The sentence on tasks that a fine-tuned model does no better than what takes no network, which comes before all else that
 * is said of it; nothing where there is no such task. Whoever is not ahead has beaten nothing, and neither has who is ahead
 * by what does not matter.
 */
export function notBeyondTrivial({ model, tallies }: Answer, rows: readonly TaskRow[]): string[] {
  const tally = tallies.find(({ again, reference }) => !again && reference === "trivial");
  if (!tally || tally.notBeaten.length === 0) return [];
  const unbeaten = tally.notBeaten.flatMap((variant) => {
    const row = rows.find(({ task, strategy }) => task === variant.task && strategy === variant.strategy);
    const claim = row?.claims.trivial;
    if (!row || !claim) return [];
    const answer = sharedModels(row.entries.trivial).join(", ");
    const verdict = tally.oneSeed ? "" : `: ${verdictWords[claim.verdict]}`;
    return [`${taskInProse(row)} (${means(claim)} of ${answer}${verdict})`];
  });
  const known = tally.oneSeed ? ", as far as one seed can tell" : "";
  return [
    `${model} does not beat what takes no network on ${tally.notBeaten.length} of ${count(tally.compared, "task")}${known}: ${listing(unbeaten)}.`,
  ];
}
