import { count, listing, significant } from "./format.js";
import { metricLabel, taskInProse } from "./labels.js";
import { sharedModels, type TaskRow } from "./summary.js";

/**
 * The sentence on tasks that a fine-tuned model does no better than what takes no network, which comes before all else that
 * is said of it; nothing where there is no such task. Means decide: whoever is not ahead has beaten nothing.
 */
export function notBeyondTrivial(model: string, rows: readonly TaskRow[]): string[] {
  const compared = rows.filter(({ claims }) => claims.trivial !== undefined);
  const unbeaten = compared.flatMap((row) => {
    const { trivial } = row.claims;
    if (trivial === undefined || trivial.difference.estimate > 0) return [];
    const answer = sharedModels(row.entries.trivial).join(", ");
    const values = `${significant(trivial.fineTuned)} against ${significant(trivial.referenceValue)} of ${answer}`;
    return [`${taskInProse(row)} (${metricLabel(trivial.metric)} ${values})`];
  });
  if (unbeaten.length === 0) return [];
  return [
    `${model} does not beat what takes no network on ${unbeaten.length} of ${count(compared.length, "task")}: ${listing(unbeaten)}.`,
  ];
}
