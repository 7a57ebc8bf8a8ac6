import { type Comparator, comparators } from "../common/vocabulary.js";
import { type Example, type Examples, openExamples } from "../results/read-examples.js";
import { reasonOnly, type StudyFolder } from "../results/read-study.js";
import { comparatorLabel } from "./labels.js";
import type { Summary, TaskRow } from "./report-summary.js";

/** A case of the gallery, with the slice that each comparator stored of it. */
export interface GalleryCase {
  /** `Best case`, `Median case`, `Worst case`, by the fine-tuned model's score. */
  rank: string;
  case: string;
  examples: { comparator: Comparator; example: Example; score: number | null }[];
}

/** The pictures of one task and model, read from disk and not yet drawn. */
export interface Gallery {
  model: string;
  metric: string;
  seed: number;
  kind: "mask" | "image";
  cases: GalleryCase[];
  /** Comparators whose slices could not be read, and why. */
  problems: string[];
}

/** Best, median and worst case of every task and model; with fewer than three cases, what there is. */
export async function readGalleries(
  study: StudyFolder,
  summary: Summary,
): Promise<Map<TaskRow, Gallery | string>> {
  const galleries = new Map<TaskRow, Gallery | string>();
  for (const row of summary.rows) if (hasPictures(row)) galleries.set(row, await readGallery(study, row));
  return galleries;
}

/** A metric that only a set of cases has belongs to a task without pictures: its cases have no best and no worst. */
const hasPictures = (row: TaskRow): boolean =>
  !comparators.some((comparator) => (row.entries[comparator].score?.cases.length ?? 1) === 0);

/** A gallery, or the reason why there is none. */
async function readGallery(study: StudyFolder, row: TaskRow): Promise<Gallery | string> {
  const fineTuned = row.entries["fine-tuned"].cells.find((cell) => cell.status === "done" && cell.result);
  if (!fineTuned?.result)
    return row.entries["fine-tuned"].status === "failed"
      ? "No pictures: cases are chosen by the fine-tuned model, which failed."
      : "No pictures yet: cases are chosen by the fine-tuned model, which is not done.";
  const stored: { comparator: Comparator; examples: Examples; scores: Map<string, number> }[] = [];
  const problems: string[] = [];
  for (const comparator of comparators) {
    const done = row.entries[comparator].cells.filter((cell) => cell.status === "done" && cell.result);
    const cell = done.find((one) => one.seed === fineTuned.seed) ?? done[0];
    if (!cell?.result) continue;
    try {
      const examples = await openExamples(study.path, cell.id);
      stored.push({
        comparator,
        examples,
        scores: new Map(cell.result.metric.cases.map((one) => [one.case, one.value ?? Number.NaN])),
      });
    } catch (error) {
      problems.push(
        `No pictures of ${comparatorLabel[comparator].toLowerCase()}: ${reasonOnly(error, study.path)}`,
      );
    }
  }
  const first = stored[0];
  if (first?.comparator !== "fine-tuned") return problems.join(" ");
  const cases: GalleryCase[] = [];
  for (const { rank, id } of chooseCases(first.scores, first.examples.cases, row.higherIsBetter)) {
    const examples: GalleryCase["examples"] = [];
    for (const { comparator, examples: file, scores } of stored) {
      try {
        if (!file.cases.includes(id) || file.kind !== first.examples.kind) continue;
        examples.push({ comparator, example: await file.read(id), score: scores.get(id) ?? null });
      } catch (error) {
        problems.push(
          `Case ${id}, ${comparatorLabel[comparator].toLowerCase()}: ${reasonOnly(error, study.path)}`,
        );
      }
    }
    if (examples[0]?.comparator === "fine-tuned") cases.push({ rank, case: id, examples });
  }
  if (cases.length === 0) return problems.join(" ") || "No slices were stored.";
  return {
    model: row.model,
    metric: fineTuned.result.metric.name,
    seed: fineTuned.seed,
    kind: first.examples.kind,
    cases,
    problems,
  };
}

/** Best, median and worst by score, each case once. Equal scores keep the order of the file. */
export function chooseCases(
  scores: ReadonlyMap<string, number>,
  stored: readonly string[],
  higherIsBetter: boolean,
): { rank: string; id: string }[] {
  const ranked = stored
    .filter((id) => Number.isFinite(scores.get(id)))
    .sort((a, b) => ((scores.get(b) as number) - (scores.get(a) as number)) * (higherIsBetter ? 1 : -1));
  if (ranked.length === 0) return stored.slice(0, 1).map((id) => ({ rank: "A case without a score", id }));
  if (ranked.length === 1) return [{ rank: "The only case", id: ranked[0] as string }];
  const best = { rank: "Best case", id: ranked[0] as string };
  const worst = { rank: "Worst case", id: ranked.at(-1) as string };
  if (ranked.length === 2) return [best, worst];
  return [best, { rank: "Median case", id: ranked[(ranked.length - 1) >> 1] as string }, worst];
}
