import { groupBy } from "../common/group-by.js";
import { comparators, isShared, variantName } from "../common/vocabulary.js";
import type { Claim, GainReference, Verdict } from "../results/claims.js";
import { distanceNames } from "../results/distances.js";
import type { StudyResults } from "../results/study.js";
import { hardlyAnything } from "../statistics/claims.js";
import { hasOneSeed } from "./claim-words.js";
import { movedInWords } from "./drift-words.js";
import { findingsInWords } from "./findings.js";
import { count, listing, names } from "./format.js";
import {
  kindInProse,
  metricLabel,
  referenceInProse,
  taskInProse,
  taskLabel,
  verdictWords,
} from "./labels.js";
import { notBeyondTrivial } from "./not-beyond-trivial.js";
import { answeredOver, type RowDistance, type Summary, type TaskRow } from "./summary.js";

/** What is said of one foundation model on the first screen. */
export interface ModelAnswer {
  model: string;
  /** Where it does not beat what takes no network, then whether pretraining helped over training from scratch. */
  answer: string;
  /** Over the other references, what could not be compared, how far it moved; empty where there is nothing more to say. */
  more: string;
}

/**
 * The answer in words, computed from the numbers: one sentence a foundation model.
 *
 * @param drift how far two seeds lie apart, where it is known
 */
export function modelAnswers(summary: Summary, drift: StudyResults["drift"] = []): ModelAnswer[] {
  const byModel = groupBy(summary.rows, (row) => row.model);
  return summary.models.map((model) => {
    const rows = byModel.get(model) ?? [];
    const counted = rows.filter((row) => row.counts);
    const others = rows.filter((row) => !row.counts);
    const { first, more } = answer(model, counted);
    return {
      model,
      answer: [...notBeyondTrivial(model, counted), first].join(" "),
      more: [...more, ...byDiffusion(others), movedInWords(model, drift)].join(" ").trim(),
    };
  });
}

function answer(model: string, rows: TaskRow[]): { first: string; more: string[] } {
  const compared = rows.filter((row) => isLearnt(row.claims["from-scratch"]));
  const tallies = (["specialised", "trivial"] as const).flatMap((reference) => tally(rows, reference));
  const others = tallies.length > 0 ? [`${sentence(tallies.join("; "))}.`] : [];
  if (compared.length === 0) {
    const { yet, why } = whyUnknown(rows);
    const first = `Whether ${model} helps over training from scratch cannot be said${yet}: ${why}.`;
    return { first, more: others };
  }
  const rest = rows.filter((row) => !compared.includes(row));
  const known = (row: TaskRow) => row.claims["from-scratch"] !== undefined;
  const absent = [
    ...saying(rest.filter(known), `${rest.filter(known).length === 1 ? "was" : "were"} learnt by neither`),
    ...saying(
      rest.filter((row) => !known(row)),
      "could not be compared",
    ),
  ];
  const claims = compared.map((row) => row.claims["from-scratch"] as Claim);
  if (claims.every(hasOneSeed)) {
    const higher = answeredOver.flatMap((reference) =>
      higherThan(reference === "from-scratch" ? compared : rows, reference),
    );
    const first =
      `Whether ${model} helps over training from scratch is undecided on ${allOf(claims.length)}: with one seed nobody ` +
      "knows how much a result moves from one training to the next.";
    return { first, more: [`Its mean is higher than that of ${listing(higher)}.`, ...others, ...absent] };
  }
  return {
    first: `Over training from scratch, ${model} is ${verdictParts(compared, "from-scratch")}.`,
    more: [...others, ...absent],
  };
}

/** What is said of all these tasks, in one sentence; nothing where there are none. */
function saying(rows: readonly TaskRow[], what: string): string[] {
  return rows.length === 0 ? [] : [`${sentence(listing(rows.map((row) => taskInProse(row))))} ${what}.`];
}

/** `better on 1 of 3 tasks (lesion segmentation), worse on 1 (super-resolution) and undecided on 1`. */
function verdictParts(rows: readonly TaskRow[], reference: GainReference): string {
  const parts = verdicts.flatMap((verdict) => {
    const those = rows.filter((row) => row.claims[reference]?.verdict === verdict);
    if (those.length === 0 && verdict !== "supported") return [];
    const all = verdict === "supported" ? ` of ${count(rows.length, "task")}` : "";
    const named = those.length > 0 && (verdict === "supported" || verdict === "contradicted");
    const which = named ? ` (${listing(those.map((row) => taskInProse(row)))})` : "";
    return [`${verdictWords[verdict]} on ${those.length === 0 ? "none" : those.length}${all}${which}`];
  });
  return listing(parts);
}

/** `training from scratch on 2 of 5 tasks`: on how many its mean is the higher one, which is all that one seed can say. */
function higherThan(rows: readonly TaskRow[], reference: (typeof answeredOver)[number]): string[] {
  const claims = rows.flatMap((row) => row.claims[reference] ?? []);
  // Where more seeds decide, the verdicts are said.
  if (!claims.every(hasOneSeed) || claims.length === 0) return [];
  const higher = claims.filter(({ difference }) => difference.estimate > 0).length;
  const all = reference === "from-scratch" ? count(claims.length, "task") : String(claims.length);
  return [`${referenceInProse[reference]} on ${higher === 0 ? "none" : higher} of ${all}`];
}

/** Of two models that have learnt next to nothing neither is better. */
const isLearnt = (claim: Claim | undefined): boolean =>
  claim !== undefined && Math.max(claim.fineTuned, claim.referenceValue) >= hardlyAnything;

const verdicts: readonly Verdict[] = ["supported", "contradicted", "practically-equal", "undetermined"];

const allOf = (tasks: number): string => (tasks === 1 ? "the one task" : `all ${tasks} tasks`);

/** Why no task of a model can be compared: results to come, cells that failed, or nothing learnt. */
function whyUnknown(rows: readonly TaskRow[]): { yet: string; why: string } {
  const pairs = rows.map((row) => [row.entries["fine-tuned"], row.entries["from-scratch"]]);
  if (pairs.some((pair) => pair.every(({ score }) => score?.mean != null)))
    return { yet: "", why: "no task that has both results was learnt" };
  if (pairs.every((pair) => pair.every(({ score }) => score !== null)))
    return { yet: "", why: "no task has a metric that is defined on the test cases" };
  if (pairs.flat().some(({ status }) => status === "pending"))
    return { yet: " yet", why: "no task has both results" };
  if (pairs.flat().some(({ status }) => status === "failed"))
    return { yet: "", why: "on every task, cells that it takes failed" };
  return { yet: "", why: "no task has both results" };
}

/** What is said of tasks that are learnt by diffusion too; nothing where none can be compared. */
function byDiffusion(rows: TaskRow[]): string[] {
  return tally(rows, "from-scratch").map((over) => `Fine-tuned by diffusion instead, ${over}.`);
}

/** `over the specialised model, better on none of 2 and worse on 2 (...)`; nothing where one seed decides nothing. */
function tally(rows: readonly TaskRow[], reference: (typeof answeredOver)[number]): string[] {
  const compared = rows.filter(({ claims: { [reference]: claim } }) => claim && !hasOneSeed(claim));
  if (compared.length === 0) return [];
  return [`over ${referenceInProse[reference]}, ${verdictParts(compared, reference)}`];
}

/** Where test sets leave a metric undefined, and why; one sentence a task. */
export function undefinedMetrics(rows: readonly TaskRow[]): string[] {
  const sentences = rows.flatMap((row) => {
    const score = comparators.map((name) => row.entries[name].score).find((one) => one?.mean === null);
    if (!score || row.metric === null) return [];
    const reason = score.reason === null ? "" : `: ${score.reason}`;
    return [
      `${metricLabel(row.metric)} of ${taskInProse(row)} is undefined on the test set of ` +
        `${count(score.testCases, "case")}${reason}. Gains over it are undefined, too.`,
    ];
  });
  return [...new Set(sentences)];
}

/** Of each model whose weights saw patients that it is judged on: what that means, for the first screen. */
export function leaks({ exposure = [] }: StudyResults): string[] {
  return exposure.flatMap(({ model, overlap: { validation, test } }) => {
    if (validation.length + test.length === 0) return [];
    const sets = [
      ...(test.length > 0 ? [`${count(test.length, "patient")} of the test set`] : []),
      ...(validation.length > 0 ? [`${count(validation.length, "patient")} of the validation set`] : []),
    ];
    return [
      `The weights of ${model} were pretrained on ${listing(sets)}: its results, where it starts from them, do not show ` +
        "how it does on new patients.",
    ];
  });
}

/** Which patients the weights of each model saw, as far as is known. */
export function exposures({ exposure = [] }: StudyResults): string[] {
  return exposure.map(({ model, patients, overlap: { validation, test } }) => {
    if (patients === null)
      return `${model}: it is not known which patients its weights saw, for their file does not say.`;
    const shared = [...new Set([...test, ...validation])];
    const where =
      shared.length === 0
        ? "none of them is in a validation or test set"
        : `in the test set ${test.length} of them, in the validation set ${validation.length}: ${names(shared)}`;
    return `${model}: its weights saw ${count(patients, "patient")}; ${where}.`;
  });
}

/**
 * Tasks that foundation models have learnt in no way, so that a gain is a ratio between next to nothing; those that no network
 * at all has learnt are findings.
 */
function unlearntTasks({ rows, findings }: Summary): string[] {
  const byNobody = new Set(
    findings.flatMap((one) => (one.kind === "nothing-learnt" ? [variantName(one)] : [])),
  );
  const unlearnt = rows.filter((row) => {
    if (byNobody.has(variantName(row))) return false;
    const means = comparators
      .filter((name) => !isShared(name))
      .flatMap((name) => row.entries[name].score?.mean ?? []);
    if (row.metric === null || !row.higherIsBetter || means.length < 2) return false;
    return means.every((mean) => mean < hardlyAnything);
  });
  return [...groupBy(unlearnt, (row) => `${taskLabel(row)}: ${row.metric}`).values()].flatMap((alikes) => {
    const [row] = alikes;
    if (!row) return [];
    const [stay, their] = alikes.length === 1 ? ["stays", "It has"] : ["stay", "They have"];
    return [
      `${taskLabel(row)}: ${names(alikes.map(({ model }) => model))} ${stay} below ${hardlyAnything} ` +
        `${metricLabel(row.metric ?? "metric")} with every comparator. ${their} not learnt the task, and ` +
        `${alikes.length === 1 ? "its" : "their"} gains compare next to nothing with next to nothing.`,
    ];
  });
}

const fewCases = 10;

/** What a reader must not conclude, and why, in full sentences. */
export function caveats(results: StudyResults, summary: Summary): string[] {
  const list: string[] = [];
  if (summary.seeds.length === 1) {
    list.push(
      "One seed: how much the numbers move from training to training is not known. Every ± is over test cases.",
    );
  }
  list.push(...findingsInWords(summary), ...undefinedMetrics(summary.rows), ...unlearntTasks(summary));
  for (const { split, tasks } of summary.cohorts) {
    if (split.test >= fewCases) continue;
    const where = tasks === null ? "" : ` of ${listing(tasks.map(kindInProse))}`;
    list.push(
      `${count(split.test, "test case")}${where}: means are rough, and differences between models may be chance.`,
    );
  }
  const withDistances = groupBy(
    summary.rows.filter((row) => row.counts && Object.keys(row.distances).length > 0),
    (row) => row.model,
  );
  for (const n of [0, 1, 2]) {
    const models = summary.models.filter((model) => (withDistances.get(model)?.length ?? 0) === n);
    if (models.length === 0) continue;
    list.push(
      `${names(models)} ${models.length === 1 ? "has" : "have"} distances on ${n === 0 ? "no task" : count(n, "task")}: ` +
        "whether gain goes with distance needs at least 3, so no correlation is computed.",
    );
  }
  const all = summary.rows.flatMap((row) => distanceNames.flatMap((name) => row.distances[name] ?? []));
  const saturated = all.filter((distance) => distance.saturated);
  if (saturated.length > 0) {
    const kinds = [...groupBy(saturated, kindOfSaturation)].map(([kind, own]) => `${own.length} ${kind}`);
    list.push(
      `${saturated.length === all.length ? "All" : `${saturated.length} of ${all.length}`} distances are saturated at the paper’s kernel width and ` +
        `do not say how far the representation moved: ${listing(kinds)}.`,
    );
  }
  const undefinedGains = results.gains.filter(
    (gain) => gain.percent === null && gain.fineTuned !== null && gain.referenceValue !== null,
  ).length;
  if (undefinedGains > 0)
    list.push(`${count(undefinedGains, "gain")} over a reference of 0 cannot be given in percent.`);
  return list;
}

/** What is wrong with a distance at the paper's kernel width, in any seed. */
function kindOfSaturation({ bySeed }: RowDistance): string {
  const flags = new Set(bySeed.flatMap(({ paper }) => paper.flags));
  if (flags.has("collapsed-a") || flags.has("collapsed-b")) return "of collapsed features";
  if (flags.has("ceiling")) return "at their ceiling";
  return flags.has("sigma-too-large") ? "at their floor" : "the same whatever the features are";
}

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
