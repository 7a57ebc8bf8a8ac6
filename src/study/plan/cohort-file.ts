import type { PreparedCase } from "../../cohort/preprocess.js";
import { writeSealedJson } from "../../common/sealed-json.js";
import type { OnDamage } from "../../common/set-aside.js";
import type { TaskName } from "../../common/vocabulary.js";
import { cohortSchema } from "../../results/cohort.js";
import { studyPaths } from "../../results/paths.js";
import { readOwn } from "../../results/read-own.js";
import type { Exclusion, PatientExposure } from "../../results/study.js";
import type { Study } from "../config/schema.js";

/** The cases of one manifest, divided. */
export interface SplitCohort {
  manifest: string;
  /** Cases and patients of the manifest, those left out included. */
  cases: number;
  patients: number;
  /** Prepared cases of each set. */
  split: Record<"train" | "validation" | "test", PreparedCase[]>;
}

/** The patients of a study, divided: who trains, who chooses the best epoch, who is tested, and who is pretrained on. */
export interface Division extends SplitCohort {
  /** Of tasks that have a cohort of their own. */
  tasks: Record<TaskName, SplitCohort>;
  /** By model: the cases that it is pretrained on, where they are not the training set. */
  pretraining: Record<string, PreparedCase[]>;
  /** By model that the study pretrains: how many patients are left out of it. */
  pretrainingLeftOut?: Record<string, number>;
}

/** What the workers need to know of the cohort: `cohort.json` in the study's folder. */
export interface StudyCohort extends Division {
  /** By seed, where each divides the patients anew; what stands beside it is then the first seed's. */
  divisions?: Record<string, Division>;
  /** Of models whose weights come from elsewhere. */
  exposure?: PatientExposure[];
  excluded: Exclusion[];
}

/** The cohort as a seed divides it. */
export const divisionOf = (cohort: StudyCohort, seed: number): StudyCohort => ({
  ...cohort,
  ...cohort.divisions?.[seed],
});

/** Every way in which a cohort is divided. */
const everyDivision = (cohort: StudyCohort): Division[] => Object.values(cohort.divisions ?? { all: cohort });

/** The cases that a model is pretrained on: its own, or the study's training set. */
export const pretrainingCases = (cohort: StudyCohort, model: string): PreparedCase[] =>
  cohort.pretraining[model] ?? cohort.split.train;

/** The cohort that a task is trained and tested on: its own, or the study's. */
export const cohortOf = (cohort: StudyCohort, task: TaskName): SplitCohort => cohort.tasks[task] ?? cohort;

/** All cases that a study prepared, of whatever set; one may come more than once. */
export const preparedCases = (cohort: StudyCohort): PreparedCase[] =>
  everyDivision(cohort).flatMap(({ split, tasks, pretraining }) => [
    ...[split, ...Object.values(tasks).map((task) => task.split)].flatMap((sets) =>
      Object.values(sets).flat(),
    ),
    ...Object.values(pretraining).flat(),
  ]);

/** All cases of a task's sets that a study prepared, each once. */
export const preparedCasesOf = (cohort: StudyCohort, task: TaskName): PreparedCase[] => {
  const cases = everyDivision(cohort).flatMap(({ split, tasks }) =>
    Object.values((tasks[task] ?? { split }).split).flat(),
  );
  return [...new Map(cases.map((one) => [one.id, one])).values()];
};

/** A manifest, how it is divided, and which tasks take it. */
export interface CohortRequest {
  manifest: string;
  split: Study["split"];
  tasks: TaskName[];
}

/** The distinct cohorts of a study: its own first, whether or not a task takes it, then those that tasks name. */
export function cohortRequests(study: Study): [CohortRequest, ...CohortRequest[]] {
  const requests: [CohortRequest, ...CohortRequest[]] = [
    { manifest: study.cohort.manifest, split: study.split, tasks: [] },
  ];
  const same = (one: CohortRequest["split"], other: CohortRequest["split"]) =>
    one.train === other.train && one.validation === other.validation && one.test === other.test;
  for (const { name, cohort } of study.tasks) {
    const { manifest, split } = cohort ?? requests[0];
    const known = requests.find((request) => request.manifest === manifest && same(request.split, split));
    if (known) known.tasks.push(name);
    else requests.push({ manifest, split, tasks: [name] });
  }
  return requests;
}

export const writeCohort = (folder: string, cohort: StudyCohort): Promise<void> =>
  writeSealedJson(studyPaths(folder).cohort, cohort);

/** The cohort that an earlier run of the study saw; null before the first. */
export const readCohort = (folder: string, onDamage: OnDamage): Promise<StudyCohort | null> =>
  readOwn<StudyCohort>(folder, studyPaths(folder).cohort, onDamage, cohortSchema);
