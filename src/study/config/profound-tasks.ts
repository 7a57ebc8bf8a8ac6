import { resolve } from "node:path";
import { z } from "zod";
import type { ManifestFiles } from "../../cohort/manifest-files.js";
import { type Need, unmetNeed } from "../../cohort/needs.js";
import { columnsOf, columnsSchema } from "../../cohort/own-columns.js";
import { type Fault, section } from "../../common/validation.js";
import { comparators } from "../../common/vocabulary.js";
import { completedTask, taskOf } from "../../tasks/index.js";
import { type StudyInput, taskSchema } from "./schema.js";

const file = z.string().min(1);

/** What a study file says of the `profound-tasks` preset; everything else in it changes what the preset says. */
export const profoundTasksSchema = section({
  /** The CSV of the cohort. */
  manifest: file,
  /** An encoder that was pretrained elsewhere; left out: it is pretrained on the training set. */
  weights: file.optional(),
});

/** A prostate's columns, with the grade group of the biopsy (ISUP 1 to 5; 0: no cancer) and the gland's volume. */
const columns = {
  images: { t2w: {}, adc: {}, hbv: {} },
  masks: {
    gland: {},
    zones: { labels: { 1: "peripheral-zone", 2: "transition-zone" }, partOf: "gland" },
    lesion: { partOf: "gland" },
    rectum: {},
  },
  labels: {
    pirads: { kind: "class", classes: [1, 2, 3, 4, 5], ordered: true },
    gleason: { kind: "class", classes: [0, 1, 2, 3, 4, 5], ordered: true },
    "gland-volume": { kind: "number", volumeOf: "gland" },
  },
} satisfies StudyInput["cohort"]["columns"];

type TaskInput = Exclude<NonNullable<StudyInput["tasks"]>[number], string>;

/**
 * The eleven downstream tasks of ProFound's authors (Wang et al. 2026, "ProFound: a moderate-sized vision foundation model for
 * multi-task prostate imaging", arXiv:2603.03961), as far as its abstract and public code (github.com/pipiwang/ProFound) name
 * them, each by its kind: cancer as radiologists and as histology see it, grading, localisation, segmentation of lesions, gland,
 * zones and what is around them, and the gland's volume.
 */
export const profoundTasks = [
  {
    kind: "classification",
    name: "pirads",
    label: "pirads",
    classes: [[1, 2], [3], [4], [5]],
    positive: [3, 4, 5],
    metric: "kappa",
  },
  {
    kind: "classification",
    name: "suspicious-lesion",
    label: "pirads",
    classes: [
      [1, 2],
      [3, 4, 5],
    ],
    metric: "auc",
  },
  { kind: "classification", name: "gleason", label: "gleason", positive: [2, 3, 4, 5], metric: "kappa" },
  {
    kind: "classification",
    name: "cancer",
    label: "gleason",
    classes: [[0], [1, 2, 3, 4, 5]],
    metric: "auc",
  },
  {
    kind: "classification",
    name: "significant-cancer",
    label: "gleason",
    classes: [
      [0, 1],
      [2, 3, 4, 5],
    ],
    metric: "auc",
  },
  { kind: "detection", name: "lesion-localisation", images: ["t2w", "adc", "hbv"], mask: "lesion" },
  { kind: "segmentation", name: "lesions", mask: "lesion", drawn: ["adc", "hbv"] },
  { kind: "segmentation", name: "gland", mask: "gland" },
  { kind: "segmentation", name: "zones", mask: "zones" },
  { kind: "segmentation", name: "surroundings", mask: "rectum" },
  { kind: "regression", name: "gland-volume", label: "gland-volume" },
] satisfies (TaskInput & { name: string })[];

/** Columns of a manifest that a task cannot do without, each time one of several. */
function columnsFor(task: TaskInput): Need[] {
  const ofCohort = columnsOf({ columns: columnsSchema.parse(columns) });
  const { needs } = taskOf(completedTask(taskSchema.parse(task), ofCohort));
  const inManifest = (column: string) => ofCohort.labels[column]?.volumeOf?.mask ?? column;
  return needs.map(({ oneOf: [first, ...others] }) => ({
    oneOf: [inManifest(first), ...others.map(inManifest)],
  }));
}

/** The study of the tasks whose columns a cohort has; which are left out, and for want of what. */
export function profoundTasksStudy(
  { manifest, weights }: z.output<typeof profoundTasksSchema>,
  base: string,
  files: ManifestFiles,
): { study: StudyInput } | { faults: Fault[] } {
  const there = files.filledColumns(resolve(base, manifest));
  const left: { task: string; reason: string }[] = [];
  const tasks: TaskInput[] = [];
  for (const task of profoundTasks) {
    // Whatever is wrong with a manifest that cannot be read, reading it as one says so.
    const need = there === null ? null : unmetNeed(columnsFor(task), { roles: there, labels: {} });
    if (need === null) tasks.push(task);
    else left.push({ task: task.name, reason: `no case has ${need.oneOf.join(" or ")}` });
  }
  if (tasks.length === 0) {
    const reasons = [...new Set(left.map(({ reason }) => reason))].join("; ");
    const message = `expected a cohort with the columns of at least one of the ${profoundTasks.length} tasks, but ${reasons}`;
    return { faults: [{ path: ["manifest"], message, unknownKey: null }] };
  }
  return {
    study: {
      name: "profound-tasks",
      cohort: { manifest, voxels: [200, 200, 96], columns, crop: { around: "gland" } },
      models: [
        {
          name: "profound",
          encoder: "profound-tiny",
          finetune: "full",
          ...(weights === undefined ? { pretrain: {} } : { weights }),
        },
      ],
      tasks,
      ...(left.length === 0 ? {} : { leftOut: left }),
      comparators: [...comparators],
      training: { epochs: 100, learningRate: 1e-4, schedule: "cosine" },
    },
  };
}
