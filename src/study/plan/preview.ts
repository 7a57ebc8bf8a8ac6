import { access } from "node:fs/promises";
import { untakenColumns, type VolumeRole } from "../../cohort/columns.js";
import { type CohortCase, caseFacts, type Manifest } from "../../cohort/manifest.js";
import { countMasks, type MaskCount } from "../../cohort/mask-counts.js";
import { type CaseFacts, lackOf, wordsOfColumn } from "../../cohort/needs.js";
import { columnsOf } from "../../cohort/own-columns.js";
import { type PreparedCase, preparedBefore } from "../../cohort/preprocess.js";
import { TransferLimitsError } from "../../common/errors.js";
import type { TaskName } from "../../common/vocabulary.js";
import { taskOf } from "../../tasks/index.js";
import type { Study, TaskConfig } from "../config/schema.js";
import type { CheckedStudy } from "./checked-study.js";
import { manifestOf } from "./divisions.js";
import { preprocessOptions } from "./prepare.js";

/** A cohort of a study as its manifest describes it. */
export interface CohortPreview {
  manifest: string;
  tasks: TaskName[];
  cases: number;
  patients: number;
  /** Columns of the manifest that nobody takes. */
  untaken: string[];
  /** Cases of each set. */
  split: { train: number; validation: number; test: number; unused: number };
  /** Files of the cases in a set that are not there, or cannot be read: `run` leaves such cases out. */
  missing: { case: string; role: VolumeRole; file: string }[];
  /** Cases without the mask, such as the gland's, that the crop is to be around: the middle of the reference stands for it. */
  withoutGland: number;
  /** What that mask and that reference are, in words. */
  crop: { around: string; reference: string };
  /** Sets whose metric cannot be computed, whatever a network answers, and why. */
  undefinedOn: { task: TaskName; set: "validation" | "test"; metric: string; reason: string }[];
  /** By task, how many patients of the test set take part. */
  judged: { task: TaskName; patients: number }[];
  /** What is known of the cases in a set that were prepared before: how many of how many these are, and how their masks came out. */
  prepared: { cases: number; of: number; masks: MaskCount[] };
  /** Tasks that cases of a set lack a column for: how many do not take part in it, and why. */
  lacking: { task: TaskName; set: "train" | "validation" | "test"; cases: number; reason: string }[];
}

/** The cohorts of a study as `run` will take them. It looks whether images exist, and what the cache has of them; it opens none. */
export async function previewCohorts({
  study,
  manifests,
  divisions: [shown],
}: CheckedStudy): Promise<CohortPreview[]> {
  const previews: CohortPreview[] = [];
  const { crop } = study.cohort;
  const ofCohort = columnsOf(study.cohort);
  const { around = ofCohort.around } = crop;
  // Where each seed divides the patients anew, the first stands for all.
  for (const { manifest: path, tasks, splits } of shown.cohorts) {
    const manifest = manifestOf(manifests, path);
    const { cases, columns } = manifest;
    const { train, validation, test, unused } = splits;
    const left = new Set(unused);
    const missing: CohortPreview["missing"] = [];
    for (const { id, volumes } of cases) {
      if (left.has(id)) continue;
      for (const [role, file] of Object.entries(volumes)) {
        if (!(await exists(file))) missing.push({ case: id, role: role as VolumeRole, file });
      }
    }
    const used = { ...manifest, cases: cases.filter(({ id }) => !left.has(id)) };
    const before = await knownBefore(study, used);
    previews.push({
      manifest: path,
      tasks,
      cases: cases.length,
      patients: new Set(cases.map(({ patient }) => patient)).size,
      untaken: untakenColumns(columns, ofCohort),
      split: {
        train: train.length,
        validation: validation.length,
        test: test.length,
        unused: unused.length,
      },
      missing,
      withoutGland:
        around !== "centre" && crop.fieldOfView !== "whole"
          ? cases.filter(({ volumes }) => volumes[around] === undefined).length
          : 0,
      crop: {
        around: wordsOfColumn(around, "mask"),
        reference: wordsOfColumn(ofCohort.reference).replace(/ (volume|image)$/, ""),
      },
      undefinedOn: study.tasks
        .filter(({ name }) => tasks.includes(name))
        .flatMap((task) => undefinedOn(task, cases, { validation, test })),
      judged: study.tasks
        .filter(({ name }) => tasks.includes(name))
        .map((task) => ({ task: task.name, patients: patientsTaking(task, cases, test) })),
      prepared: { cases: before.length, of: used.cases.length, masks: countMasks(before, ofCohort) },
      lacking: study.tasks
        .filter(({ name }) => tasks.includes(name))
        .flatMap((task) => lackingOf(task, cases, { train, validation, test })),
    });
  }
  return previews;
}

/** Sets in which the cases that take part leave a task's metric undefined; an empty set is asked for as such. */
function undefinedOn(
  config: TaskConfig,
  cases: readonly CohortCase[],
  sets: Record<"validation" | "test", readonly string[]>,
): CohortPreview["undefinedOn"] {
  const task = taskOf(config);
  const facts = new Map(cases.map((one) => [one.id, caseFacts(one)]));
  return (["validation", "test"] as const).flatMap((set) => {
    const taking = sets[set]
      .map((id) => facts.get(id) as CaseFacts)
      .filter((one) => task.missing(one) === null);
    const reason = taking.length === 0 ? null : (task.undefinedOn?.(taking) ?? null);
    return reason === null ? [] : [{ task: task.name, set, metric: task.metric, reason }];
  });
}

/** The patients of a set with a case that a task can use. */
function patientsTaking(task: TaskConfig, cases: readonly CohortCase[], set: readonly string[]): number {
  const { needs } = taskOf(task);
  const inSet = new Set(set);
  const taking = cases.filter((one) => inSet.has(one.id) && lackOf(needs, caseFacts(one)) === null);
  return new Set(taking.map(({ patient }) => patient)).size;
}

/** The cases that were prepared before; none without LibTorch, which reads the cache: a plan is worth having all the same. */
const knownBefore = ({ cohort, execution }: Study, manifest: Manifest): Promise<PreparedCase[]> =>
  preparedBefore(manifest, preprocessOptions(cohort), execution.cache).catch((error: unknown) => {
    if (error instanceof TransferLimitsError && error.code === "LIBTORCH_MISSING") return [];
    throw error;
  });

/** Of each set, the cases that a task cannot use, by reason. */
function lackingOf(
  task: TaskConfig,
  cases: readonly CohortCase[],
  sets: Record<"train" | "validation" | "test", readonly string[]>,
): CohortPreview["lacking"] {
  const { needs } = taskOf(task);
  const reasons = new Map(cases.map((one) => [one.id, lackOf(needs, caseFacts(one))]));
  return (["train", "validation", "test"] as const).flatMap((set) => {
    const counts = new Map<string, number>();
    for (const id of sets[set]) {
      const reason = reasons.get(id) ?? null;
      if (reason !== null) counts.set(reason, (counts.get(reason) ?? 0) + 1);
    }
    return [...counts].map(([reason, count]) => ({ task: task.name, set, cases: count, reason }));
  });
}

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );
