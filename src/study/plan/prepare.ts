import { availableParallelism } from "node:os";
import { basename } from "node:path";
import type { Manifest } from "../../cohort/manifest.js";
import { columnsOf, normalisationOf } from "../../cohort/own-columns.js";
import { PreparationHelper } from "../../cohort/preparation-helper-process.js";
import { type PreparedCase, type PreprocessOptions, prepareCohort } from "../../cohort/preprocess.js";
import { openingOf } from "../../cohort/schema.js";
import type { Splits } from "../../cohort/splits.js";
import { TransferLimitsError } from "../../common/errors.js";
import type { StudyEvent } from "../../common/progress.js";
import { writeSealedJson } from "../../common/sealed-json.js";
import type { OnDamage } from "../../common/set-aside.js";
import { studyPaths } from "../../results/paths.js";
import type { Exclusion } from "../../results/study.js";
import type { Study } from "../config/schema.js";
import type { CheckedStudy } from "./checked-study.js";
import type { Division, SplitCohort, StudyCohort } from "./cohort-file.js";
import { freeMemoryOf } from "./devices.js";
import {
  apartFrom,
  type DividedCohort,
  type PretrainingCohort,
  pretrainingCohort,
  type SeedDivision,
} from "./divisions.js";

export interface PrepareOptions {
  signal: AbortSignal | undefined;
  onProgress: (event: StudyEvent) => void;
  /** Told of volumes in the cache that were damaged. */
  onDamage: OnDamage;
  /** Takes cached volumes without a look at their contents: for a study that has no work left. */
  trustCache: boolean;
}

/**
 * Splits the study's cohort and those of single tasks, writes `splits.json`, and preprocesses every case that is used. A case
 * whose files cannot be used keeps its place in the split and is left out with its reason, so that the other cases stay where
 * they are.
 */
export async function prepareStudyCohort(
  checked: CheckedStudy,
  options: PrepareOptions,
): Promise<StudyCohort> {
  await writeSplits(checked);
  return dividedCohort(checked, (manifest) => prepareCases(manifest, checked.study, options));
}

/** Cases of a manifest that can be used, and those that cannot. */
export type Preparation = (manifest: Manifest) => Promise<{ cases: PreparedCase[]; excluded: Exclusion[] }>;

/** A study's cohort as it was divided, whoever prepares its cases. */
export async function dividedCohort(
  { study, manifests, divisions, exposure }: CheckedStudy,
  prepare: Preparation,
): Promise<StudyCohort> {
  const cohorts = divisions.flatMap((division) => division.cohorts);
  const pretrainingOf = (division: SeedDivision) =>
    Promise.all(
      study.models.flatMap(({ name, pretrain }) =>
        pretrain ? [pretrainingCohort(name, pretrain, apartFrom(study, divisions, division), manifests)] : [],
      ),
    );
  const pretrainings = await Promise.all(divisions.map(pretrainingOf));
  const pretraining = pretrainings.flat();

  const excluded: Exclusion[] = [];
  const prepared = new Map<string, Map<string, PreparedCase>>();
  for (const [path, manifest] of manifests) {
    const used = new Set([
      ...cohorts.flatMap((part) =>
        part.manifest === path && study.tasks.length > 0 ? usedOf(part.splits) : [],
      ),
      ...pretraining.flatMap((one) => (one.manifest.path === path ? one.cases.map(({ id }) => id) : [])),
    ]);
    const cases = manifest.cases.filter(({ id }) => used.has(id));
    const done = await prepare({ ...manifest, cases });
    excluded.push(...done.excluded);
    prepared.set(path, new Map(done.cases.map((one) => [one.id, one])));
  }
  const those = (manifest: string, ids: readonly string[]) =>
    ids.flatMap((id) => prepared.get(manifest)?.get(id) ?? []);
  const divided = ({ manifest, cases, splits }: DividedCohort): SplitCohort => ({
    manifest,
    cases: cases.length,
    patients: new Set(cases.map(({ patient }) => patient)).size,
    split: {
      train: those(manifest, splits.train),
      validation: those(manifest, splits.validation),
      test: those(manifest, splits.test),
    },
  });
  const preparedDivision = (division: SeedDivision, ofModels: readonly PretrainingCohort[]): Division => {
    const [own, ...ofTasks] = division.cohorts;
    const cohort = divided(own);
    const tasks: Division["tasks"] = {};
    for (const part of ofTasks) {
      const cohortOfPart = divided(part);
      for (const task of part.tasks) tasks[task] = cohortOfPart;
    }
    const tested = apartFrom(study, divisions, division).flatMap(({ manifest, splits }) =>
      those(manifest, [...splits.validation, ...splits.test]),
    );
    const pretrained: Division["pretraining"] = {};
    const leftOut: Record<string, number> = {};
    for (const { model, manifest, cases, isTrainingSet, patientsLeftOut } of ofModels) {
      const ready = those(
        manifest.path,
        cases.map(({ id }) => id),
      );
      refuseTestImages(ready, tested, model, manifest.path);
      // Where seeds divide the patients, the training set of one is not that of another.
      if (!isTrainingSet || division.seed !== null) pretrained[model] = ready;
      leftOut[model] = patientsLeftOut;
    }
    return { ...cohort, tasks, pretraining: pretrained, pretrainingLeftOut: leftOut };
  };
  const ready = divisions.map((division, index) => ({
    seed: division.seed,
    division: preparedDivision(division, pretrainings[index] as PretrainingCohort[]),
  }));
  const [first] = ready as [(typeof ready)[number]];
  return {
    ...first.division,
    ...(first.seed === null
      ? {}
      : { divisions: Object.fromEntries(ready.map(({ seed, division }) => [String(seed), division])) }),
    exposure: [...exposure],
    excluded,
  };
}

const usedOf = ({ train, validation, test }: Splits): string[] => [...train, ...validation, ...test];

/** `splits.json`: which case went where, and which patient; among `others` what later seeds divide anew. */
async function writeSplits({ study, divisions }: CheckedStudy): Promise<void> {
  const [own, ...others] = divisions.flatMap(({ seed, cohorts }) =>
    cohorts.map((cohort) => ({ ...cohort, ...(seed === null ? {} : { ofSeed: seed }) })),
  );
  const { splits, patients } = own as DividedCohort;
  await writeSealedJson(studyPaths(study.execution.output).splits, {
    seed: study.seed,
    ...splits,
    patients,
    ...(others.length === 0
      ? {}
      : {
          others: others.map(({ manifest, tasks, splits, patients, ofSeed }) => ({
            manifest,
            tasks,
            ...(ofSeed === undefined ? {} : { ofSeed }),
            ...splits,
            patients,
          })),
        }),
  });
}

/** How a study's cases are brought onto its grid. */
export const preprocessOptions = (cohort: Study["cohort"]): PreprocessOptions => ({
  voxels: cohort.voxels,
  crop: cohort.crop,
  normalise: normalisationOf(cohort),
  masks: cohort.masks,
  columns: columnsOf(cohort),
});

/** Milliseconds before other processes help to prepare cases: what is in the cache is found within them. */
const aloneFor = 1000;

/** Of a process that prepares a case, with LibTorch and two volumes of a large scan at a time. */
const memoryOfHelper = 1.5e9;

/** One for each core but this process' own, as far as there is memory. */
const helpersForPreparation = (): number =>
  Math.max(0, Math.min(availableParallelism() - 1, Math.floor((freeMemoryOf("cpu") ?? 0) / memoryOfHelper)));

function prepareCases(
  manifest: Manifest,
  { cohort, execution }: Study,
  { signal, onProgress, onDamage, trustCache }: PrepareOptions,
) {
  const options = preprocessOptions(cohort);
  const where = { cache: execution.cache, images: openingOf(cohort.images), onDamage };
  return prepareCohort(manifest, options, {
    ...where,
    signal,
    trustCache,
    helpers: trustCache
      ? null
      : {
          most: helpersForPreparation(),
          after: aloneFor,
          start: () => new PreparationHelper(options, where),
        },
    onCase: (event) => onProgress({ kind: "case", cohort: manifest.path, ...event }),
  });
}

/**
 * Pretraining must not see an image that is tested, under whatever name. Prepared files are named after what they were
 * made from.
 */
function refuseTestImages(
  pretraining: readonly PreparedCase[],
  tested: readonly PreparedCase[],
  model: string,
  manifest: string,
): void {
  const files = new Set(tested.map(({ file }) => basename(file)));
  const shared = pretraining.filter(({ file }) => files.has(basename(file))).map(({ id }) => id);
  if (shared.length === 0) return;
  const shown = shared.slice(0, 5).join(", ") + (shared.length > 5 ? " and others" : "");
  throw new TransferLimitsError(
    "BAD_CONFIG",
    `Expected a pretraining cohort for ${model} that is disjoint from the validation and test sets, but ${manifest} ` +
      `holds ${shared.length} of their images under other patients: ${shown}`,
  );
}
