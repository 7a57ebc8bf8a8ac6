import { groupBy } from "../common/group-by.js";
import { comparators, isShared, type TaskVariant } from "../common/vocabulary.js";
import type { Answer, Saturation, Tally } from "../results/answers.js";
import type { StudyResults } from "../results/study.js";
import { belowFloor, isHardlyAnything } from "../statistics/direction.js";
import { variantName } from "../tasks/index.js";
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
import type { Summary, TaskRow } from "./report-summary.js";

/** What is said of one foundation model on the first screen. */
export interface ModelAnswer {
  model: string;
  /** Where it does not beat what takes no network, then whether pretraining helped over training from scratch. */
  answer: string;
  /** Over the other references, what could not be compared, how far it moved; empty where there is nothing more to say. */
  more: string;
}

/**
 * The answer in words: one sentence a foundation model.
 *
 * @param drift how far two seeds lie apart, where it is known
 */
export function modelAnswers(summary: Summary, drift: StudyResults["drift"] = []): ModelAnswer[] {
  const byModel = groupBy(summary.rows, (row) => row.model);
  return summary.answers.map((one) => {
    const rows = (byModel.get(one.model) ?? []).filter((row) => row.counts);
    const { first, more } = answerInWords(one, rows);
    return {
      model: one.model,
      answer: [...notBeyondTrivial(one, rows), first].join(" "),
      more: [...more, ...byDiffusion(one), movedInWords(one.model, drift)].join(" ").trim(),
    };
  });
}

/** @param rows of the tasks that count */
function answerInWords(answer: Answer, rows: TaskRow[]): { first: string; more: string[] } {
  const { model } = answer;
  const tallies = answer.tallies.filter(({ again }) => !again);
  const scratch = tallies.find(({ reference }) => reference === "from-scratch");
  const over = tallies.flatMap((one) => (one === scratch ? [] : tallyInWords(one)));
  const others = over.length > 0 ? [`${sentence(over.join("; "))}.`] : [];
  if (!scratch || scratch.compared === 0) {
    const { yet, why } = whyUnknown(rows);
    const first = `Whether ${model} helps over training from scratch cannot be said${yet}: ${why}.`;
    return { first, more: others };
  }
  const { notLearnt, notCompared } = scratch;
  const absent = [
    ...saying(notLearnt, `${notLearnt.length === 1 ? "was" : "were"} learnt by neither`),
    ...saying(notCompared, "could not be compared"),
  ];
  if (scratch.oneSeed) {
    const first =
      `Whether ${model} helps over training from scratch is undecided on ${allOf(scratch.compared)}: with one seed nobody ` +
      "knows how much a result moves from one training to the next.";
    const higher = listing(tallies.flatMap(higherThan));
    return { first, more: [`Its mean is better than that of ${higher}.`, ...others, ...absent] };
  }
  return {
    first: `Over training from scratch, ${model} is ${verdictParts(scratch)}.`,
    more: [...others, ...absent],
  };
}

/** What is said of all these tasks, in one sentence; nothing where there are none. */
const saying = (tasks: readonly TaskVariant[], what: string): string[] =>
  tasks.length === 0 ? [] : [`${sentence(listing(tasks.map(taskInProse)))} ${what}.`];

/** `better on 1 of 3 tasks (lesion segmentation), worse on 1 (super-resolution) and undecided on 1`. */
function verdictParts({ judged, verdicts }: Tally): string {
  const parts = verdicts.map(({ verdict, tasks, which }) => {
    const all = verdict === "supported" ? ` of ${count(judged, "task")}` : "";
    const named = tasks > 0 && (verdict === "supported" || verdict === "contradicted");
    const those = named ? ` (${listing(which.map(taskInProse))})` : "";
    return `${verdictWords[verdict]} on ${orNone(tasks)}${all}${those}`;
  });
  return listing(parts);
}

/** `training from scratch on 2 of 5 tasks`: on how many its mean is the better one, which is all that one seed can say. */
function higherThan({ reference, compared, higher, oneSeed }: Tally): string[] {
  // Where more seeds decide, the verdicts are said.
  if (!oneSeed || compared === 0) return [];
  const all = reference === "from-scratch" ? count(compared, "task") : String(compared);
  return [`${referenceInProse[reference]} on ${orNone(higher)} of ${all}`];
}

const orNone = (tasks: number): string => (tasks === 0 ? "none" : String(tasks));

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
const byDiffusion = ({ tallies }: Answer): string[] =>
  tallies
    .filter(({ again, reference }) => again && reference === "from-scratch")
    .flatMap(tallyInWords)
    .map((over) => `Fine-tuned by diffusion instead, ${over}.`);

/** `over the specialised model, better on none of 2 and worse on 2 (...)`; nothing where one seed decides nothing. */
const tallyInWords = (tally: Tally): string[] =>
  tally.oneSeed ? [] : [`over ${referenceInProse[tally.reference]}, ${verdictParts(tally)}`];

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
    return means.length > 1 && means.every((mean) => isHardlyAnything(row, mean));
  });
  return [...groupBy(unlearnt, (row) => `${taskLabel(row)}: ${row.metric}`).values()].flatMap((alikes) => {
    const [row] = alikes;
    if (!row) return [];
    const [stay, their] = alikes.length === 1 ? ["stays", "It has"] : ["stay", "They have"];
    return [
      `${taskLabel(row)}: ${names(alikes.map(({ model }) => model))} ${stay} ${belowFloor(row)} ` +
        `${metricLabel(row.metric ?? "metric")} with every comparator. ${their} not learnt the task, and ` +
        `${alikes.length === 1 ? "its" : "their"} gains compare next to nothing with next to nothing.`,
    ];
  });
}

const fewCases = 10;

/** What a reader must not conclude, and why, in full sentences. */
export function caveats(summary: Summary): string[] {
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
  for (const n of [0, 1, 2]) {
    const models = summary.answers.filter((one) => one.withDistances === n).map(({ model }) => model);
    if (models.length === 0) continue;
    list.push(
      `${names(models)} ${models.length === 1 ? "has" : "have"} distances on ${n === 0 ? "no task" : count(n, "task")}: ` +
        "whether gain goes with distance needs at least 3, so no correlation is computed.",
    );
  }
  const { all, saturated, kinds } = summary.counts.distances;
  if (saturated > 0)
    list.push(
      `${saturated === all ? "All" : `${saturated} of ${all}`} distances are saturated at the paper’s kernel width and ` +
        `do not say how far the representation moved: ${listing(kinds.map(({ kind, distances }) => `${distances} ${saturationInWords[kind]}`))}.`,
    );
  const undefinedGains = summary.counts.gainsWithoutPercent;
  if (undefinedGains > 0)
    list.push(`${count(undefinedGains, "gain")} over a reference of 0 cannot be given in percent.`);
  return list;
}

/** What is wrong with a distance at the paper's kernel width. */
const saturationInWords: Record<Saturation, string> = {
  collapsed: "of collapsed features",
  ceiling: "at their ceiling",
  floor: "at their floor",
  constant: "the same whatever the features are",
};

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
