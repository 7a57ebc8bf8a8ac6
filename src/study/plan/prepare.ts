import { basename } from "node:path";
import { listedPatients, readExclusionList } from "../../cohort/exclusion-list.js";
import { type CohortCase, type Manifest, readManifest } from "../../cohort/manifest.js";
import { columnsOf, normalisationOf } from "../../cohort/own-columns.js";
import { type PreparedCase, type PreprocessOptions, prepareCohort } from "../../cohort/preprocess.js";
import { openingOf } from "../../cohort/schema.js";
import { makeSplits, type Splits } from "../../cohort/splits.js";
import { TransferLimitsError } from "../../common/errors.js";
import type { StudyEvent } from "../../common/progress.js";
import { seedFor } from "../../common/random.js";
import { writeSealedJson } from "../../common/sealed-json.js";
import type { OnDamage } from "../../common/set-aside.js";
import { studyPaths } from "../../results/paths.js";
import type { Exclusion } from "../../results/study.js";
import type { PretrainSettings, Study } from "../config/schema.js";
import { seedsOf, varies } from "../config/seeds.js";
import {
  type CohortRequest,
  cohortRequests,
  type Division,
  type SplitCohort,
  type StudyCohort,
} from "./cohort-file.js";
import { exposureOf, heldOut, patientsOf } from "./exposure.js";

export interface PrepareOptions {
  signal: AbortSignal | undefined;
  onProgress: (event: StudyEvent) => void;
  /** Told of volumes in the cache that were damaged. */
  onDamage: OnDamage;
  /** Takes cached volumes without a look at their contents: for a study that has no work left. */
  trustCache: boolean;
}

/** A cohort that a study asks for, divided at random. */
export interface DividedCohort extends CohortRequest {
  cases: readonly CohortCase[];
  splits: Splits;
  patients: ReturnType<typeof patientsOf>;
}

/** The cohorts of a study, divided: its own first, whether or not a task takes it. */
export type DividedCohorts = readonly [DividedCohort, ...DividedCohort[]];

/** The cohorts of a study as one of its seeds divides them; null: as all of them do. */
export interface SeedDivision {
  seed: number | null;
  cohorts: DividedCohorts;
}

/** Reads the manifests of a study and divides them, once or for each seed. No image is opened. */
export async function divideCohorts(study: Study): Promise<[SeedDivision, ...SeedDivision[]]> {
  const [own, ...others] = cohortRequests(study);
  const divide = async (request: CohortRequest, seed: number | null): Promise<DividedCohort> => {
    const { cases } = await readCohortManifest(request.manifest, study.cohort);
    const splits = makeSplits(cases, request.split, splitSeed(study, seed), columnsOf(study.cohort));
    return { ...request, cases, splits, patients: patientsOf(cases, splits) };
  };
  const divisions: SeedDivision[] = [];
  for (const seed of varies(study, "split") ? seedsOf(study) : [null]) {
    const cohorts: [DividedCohort, ...DividedCohort[]] = [await divide(own, seed)];
    for (const other of others) cohorts.push(await divide(other, seed));
    divisions.push({ seed, cohorts });
  }
  return divisions as [SeedDivision, ...SeedDivision[]];
}

/** What patients are divided by: the study's seed, or a stream of each seed's own. */
export const splitSeed = ({ seed: ofStudy }: Pick<Study, "seed">, seed: number | null): number =>
  seed === null ? ofStudy : seedFor(ofStudy, "division", seed);

/** The cohorts that a model is pretrained apart from, for a seed: where all share an encoder, those of every seed. */
export function apartFrom(
  study: Study,
  divisions: readonly SeedDivision[],
  { cohorts }: SeedDivision,
): DividedCohorts {
  if (varies(study, "pretraining")) return cohorts;
  const [own, ...others] = divisions.flatMap((division) => division.cohorts);
  return [own as DividedCohort, ...others];
}

/** The patients that tasks are validated and tested on. */
export const judgedOn = (cohorts: readonly DividedCohort[]) =>
  heldOut(cohorts.filter(({ tasks }) => tasks.length > 0).map(({ patients }) => patients));

/** What a model is pretrained on: cases of a manifest, without those of patients that it must not see. */
export interface PretrainingCohort {
  model: string;
  manifest: Manifest;
  cases: CohortCase[];
  /** Whether these are the study's whole training set. */
  isTrainingSet: boolean;
  patientsLeftOut: number;
}

/**
 * Splits the study's cohort and those of single tasks, writes `splits.json`, and preprocesses every case that is used. A case
 * whose files cannot be used keeps its place in the split and is left out with its reason, so that the other cases stay where
 * they are.
 */
export async function prepareStudyCohort(study: Study, options: PrepareOptions): Promise<StudyCohort> {
  const divisions = await divideCohorts(study);
  await writeSplits(study, divisions);
  return dividedCohort(study, divisions, (manifest) => prepareCases(manifest, study, options));
}

/** Cases of a manifest that can be used, and those that cannot. */
export type Preparation = (manifest: Manifest) => Promise<{ cases: PreparedCase[]; excluded: Exclusion[] }>;

/** A study's cohort as it was divided, whoever prepares its cases. */
export async function dividedCohort(
  study: Study,
  divisions: readonly SeedDivision[],
  prepare: Preparation,
): Promise<StudyCohort> {
  const cohorts = divisions.flatMap((division) => division.cohorts);
  const pretrainingOf = (division: SeedDivision) =>
    Promise.all(
      study.models.flatMap(({ name, pretrain }) =>
        pretrain
          ? [pretrainingCohort(name, pretrain, apartFrom(study, divisions, division), study.cohort)]
          : [],
      ),
    );
  const pretrainings = await Promise.all(divisions.map(pretrainingOf));
  const pretraining = pretrainings.flat();

  const excluded: Exclusion[] = [];
  const prepared = new Map<string, Map<string, PreparedCase>>();
  const manifests = new Map<string, Manifest>();
  for (const { manifest } of cohorts)
    manifests.set(manifest, await readCohortManifest(manifest, study.cohort));
  for (const { manifest } of pretraining) manifests.set(manifest.path, manifest);
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
    exposure: await exposureOf(study, judgedOn(cohorts)),
    excluded,
  };
}

const usedOf = ({ train, validation, test }: Splits): string[] => [...train, ...validation, ...test];

/** `splits.json`: which case went where, and which patient; among `others` what later seeds divide anew. */
async function writeSplits(study: Study, divisions: readonly SeedDivision[]): Promise<void> {
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

/**
 * The cases that a model is pretrained on: those of its manifest, or the study's training set, without the patients that
 * the study validates or tests anything on, and without those that are listed.
 *
 * @throws `BAD_CONFIG` where nobody is left
 */
export async function pretrainingCohort(
  model: string,
  { manifest: path, exclude }: PretrainSettings,
  cohorts: DividedCohorts,
  cohort: Study["cohort"],
): Promise<PretrainingCohort> {
  const [own] = cohorts;
  const manifest = await readCohortManifest(path ?? own.manifest, cohort);
  const train = new Set(own.splits.train);
  const candidates = path === null ? manifest.cases.filter(({ id }) => train.has(id)) : manifest.cases;
  const { validation, test } = heldOut(cohorts.map(({ patients }) => patients));
  const listed =
    exclude === null ? new Set() : listedPatients(await readExclusionList(exclude), manifest.cases);
  const isFree = ({ patient }: CohortCase) =>
    !validation.has(patient) && !test.has(patient) && !listed.has(patient);
  const cases = candidates.filter(isFree);
  const patients = (some: readonly CohortCase[]) => new Set(some.map(({ patient }) => patient)).size;
  if (cases.length === 0) {
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `Expected patients to pretrain ${model} on, but each of the ${patients(candidates)} of ` +
        `${path === null ? `the training set of ${manifest.path}` : manifest.path} is one that the study validates or ` +
        `tests on${exclude === null ? "" : `, or that ${exclude} lists`}. Patients are compared by name${ofItsOwn(cohorts)}`,
    );
  }
  return {
    model,
    manifest,
    cases,
    isTrainingSet: path === null && cases.length === candidates.length,
    patientsLeftOut: patients(candidates) - patients(cases),
  };
}

/** What mends a pretraining that all seeds share, where each of them divides the patients anew and they leave it nobody. */
function ofItsOwn([own, ...others]: DividedCohorts): string {
  const divisions = [own, ...others.filter(({ split }) => split === own.split)].length;
  if (divisions === 1) return "";
  return (
    `. All ${divisions} seeds share this pretraining, and each divides the patients anew (seeds.vary: split), so that it may ` +
    "see only whom none of them validates or tests on: add pretraining to seeds.vary, and each seed pretrains on its own " +
    "training set, or take fewer seeds, or give it a manifest of other patients (pretrain.manifest)"
  );
}

/** A manifest that a study names, all of which have the columns of its cohort. @throws `BAD_MANIFEST` */
export const readCohortManifest = (path: string, cohort: Study["cohort"]): Promise<Manifest> =>
  readManifest(path, cohort.manifestLimits, columnsOf(cohort));

/** How a study's cases are brought onto its grid. */
export const preprocessOptions = (cohort: Study["cohort"]): PreprocessOptions => ({
  voxels: cohort.voxels,
  crop: cohort.crop,
  normalise: normalisationOf(cohort),
  masks: cohort.masks,
  columns: columnsOf(cohort),
});

function prepareCases(
  manifest: Manifest,
  { cohort, execution }: Study,
  { signal, onProgress, onDamage, trustCache }: PrepareOptions,
) {
  return prepareCohort(manifest, preprocessOptions(cohort), {
    images: openingOf(cohort.images),
    cache: execution.cache,
    onDamage,
    trustCache,
    ...(signal ? { signal } : {}),
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
