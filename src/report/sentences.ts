import { groupBy } from "../common/group-by.js";
import { comparators, isShared, ownStrategy } from "../common/vocabulary.js";
import { type Claim, hardlyAnything, type Verdict } from "../statistics/claims.js";
import type { GainReference, StudyResults } from "../study/results.js";
import { count, listing, names, percent, signed, significant } from "./format.js";
import {
  kindInProse,
  metricLabel,
  referenceInProse,
  taskInProse,
  taskLabel,
  verdictWords,
} from "./labels.js";
import { notBeyondTrivial } from "./not-beyond-trivial.js";
import { distanceNames, type Summary, type TaskRow } from "./summary.js";

/** What is said of one foundation model on the first screen. */
export interface ModelAnswer {
  model: string;
  /** Whether pretraining helped, in one sentence. */
  answer: string;
  /** By how much on each task, and how sure. */
  details: string[];
}

/** The answer in words, computed from the numbers: one sentence a foundation model. */
export function modelAnswers(summary: Summary): ModelAnswer[] {
  const byModel = groupBy(summary.rows, (row) => row.model);
  return summary.models.map((model) => {
    const rows = byModel.get(model) ?? [];
    const counted = rows.filter((row) => row.counts);
    const others = rows.filter((row) => !row.counts);
    return {
      model,
      answer: [...notBeyondTrivial(model, counted), answer(model, counted), ...byDiffusion(others)].join(" "),
      details: details(rows),
    };
  });
}

function answer(model: string, rows: TaskRow[]): string {
  const compared = rows.filter((row) => isLearnt(row.claims["from-scratch"]));
  const others = (["random-weights", "specialised"] as const).flatMap((reference) => tally(rows, reference));
  const rest = others.length > 0 ? `; ${listing(others)}` : "";
  if (compared.length === 0) {
    const { yet, why } = whyUnknown(rows);
    const more = others.length > 0 ? ` It is better ${listing(others)}.` : "";
    return `Whether ${model} helps over training from scratch cannot be said${yet}: ${why}.${more}`;
  }
  const missing = rows.filter((row) => !compared.includes(row)).map((row) => taskInProse(row));
  const absent = missing.length > 0 ? ` ${sentence(listing(missing))} could not be compared.` : "";
  const claims = compared.map((row) => row.claims["from-scratch"] as Claim);
  if (claims.every(({ seeds }) => seeds.length < 2)) {
    const higher = claims.filter(({ difference }) => difference.estimate > 0).length;
    return (
      `Whether ${model} helps over training from scratch is undetermined on ${allOf(claims.length)}: with one seed nobody ` +
      `knows how much a result moves from one training to the next. Its mean is higher on ${higher === 0 ? "none" : higher} ` +
      `of ${claims.length}.${absent}`
    );
  }
  const parts = verdicts.flatMap((verdict) => {
    const those = compared.filter((row) => row.claims["from-scratch"]?.verdict === verdict);
    if (those.length === 0 && verdict !== "supported") return [];
    const names = those.length === 0 ? "" : ` (${listing(those.map((row) => taskInProse(row)))})`;
    const of = verdict === "supported" ? ` of ${count(compared.length, "task")}` : "";
    return [`${verdictWords[verdict]} on ${those.length === 0 ? "none" : those.length}${of}${names}`];
  });
  return `Over training from scratch, ${model} is ${listing(parts)}${rest}.${absent}`;
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
  const [over] = tally(rows, "from-scratch");
  if (over === undefined) return [];
  const compared = rows.filter((row) => row.claims["from-scratch"]);
  const names = listing(compared.map(({ task }) => taskInProse({ task, strategy: ownStrategy(task) })));
  return [`Fine-tuned by diffusion instead (${names}), it is better ${over}.`];
}

/** `over random weights on 2 of 2`; nothing where no task can be compared, or no claim be more than undetermined. */
function tally(rows: TaskRow[], reference: GainReference): string[] {
  const claims = rows.flatMap((row) => row.claims[reference] ?? []);
  if (claims.every(({ seeds }) => seeds.length < 2)) return [];
  const better = claims.filter(({ verdict }) => verdict === "supported").length;
  return [`over ${referenceInProse[reference]} on ${better === 0 ? "none" : better} of ${claims.length}`];
}

/** `Dice 0.62 against 0.53`. */
export function means({ metric, fineTuned, referenceValue }: Claim): string {
  const name = metricLabel(metric);
  return `${name}${/\d$/.test(name) ? ":" : ""} ${significant(fineTuned)} against ${significant(referenceValue)}`;
}

/** `+3.1 % (95 % interval −0.4 % to +7.0 %)`; the interval only where it is known. */
function gainInWords({ percent: gain, difference }: Claim): string {
  if (gain === null) return `a difference of ${signed(difference.estimate, 3)}`;
  const interval =
    gain.low === null || gain.high === null
      ? ""
      : ` (95 % interval ${percent(gain.low)} to ${percent(gain.high)})`;
  return `${percent(gain.estimate)}${interval}`;
}

function details(rows: TaskRow[]): string[] {
  return rows.flatMap((row) => {
    const claim = row.claims["from-scratch"];
    if (!claim || !isLearnt(claim)) return [];
    const { seeds, verdict, reason } = claim;
    // What one seed leaves open is said once, of the model.
    const judgement = seeds.length < 2 ? "" : `: ${verdictWords[verdict]}, ${reason}`;
    return [`${sentence(taskInProse(row))}: ${means(claim)}, ${gainInWords(claim)}${judgement}.`];
  });
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

/** Tasks that foundation models have learnt in no way, so that a gain is a ratio between next to nothing. */
function unlearntTasks(rows: readonly TaskRow[]): string[] {
  const unlearnt = rows.filter((row) => {
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
  for (const line of undefinedMetrics(summary.rows)) list.push(line);
  for (const line of unlearntTasks(summary.rows)) list.push(line);
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
  const saturated = all.filter((distance) => distance.saturated).length;
  if (saturated > 0) {
    list.push(
      `${saturated === all.length ? "All" : `${saturated} of ${all.length}`} distances are saturated at the paper’s kernel width: they are at their floor or ceiling, ` +
        "or of collapsed features, and do not say how far the representation moved.",
    );
  }
  const undefinedGains = results.gains.filter(
    (gain) => gain.percent === null && gain.fineTuned !== null && gain.referenceValue !== null,
  ).length;
  if (undefinedGains > 0)
    list.push(`${count(undefinedGains, "gain")} over a reference of 0 cannot be given in percent.`);
  return list;
}

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
