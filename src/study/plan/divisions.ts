import { listedPatients, readExclusionList } from "../../cohort/exclusion-list.js";
import type { CohortCase, Manifest } from "../../cohort/manifest.js";
import type { ManifestFiles } from "../../cohort/manifest-files.js";
import { columnsOf } from "../../cohort/own-columns.js";
import { makeSplits, type Splits } from "../../cohort/splits.js";
import { TransferLimitsError } from "../../common/errors.js";
import { seedFor } from "../../common/random.js";
import type { PretrainSettings, Study } from "../config/schema.js";
import { seedsOf, varies } from "../config/seeds.js";
import { type CohortRequest, cohortRequests } from "./cohort-file.js";
import { heldOut, patientsOf } from "./exposure.js";

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

/** Every way in which a study divides its cohorts: one, or one a seed. */
export type Divisions = readonly [SeedDivision, ...SeedDivision[]];

/** The manifests that a study names, by their absolute paths. */
export type Manifests = ReadonlyMap<string, Manifest>;

/** Reads every manifest that a study names: its own, its tasks' and those that models are pretrained on. @throws `BAD_MANIFEST` */
export async function readManifests(study: Study, files: ManifestFiles): Promise<Manifests> {
  const { cohort, models } = study;
  const manifests = new Map<string, Manifest>();
  const named = cohortRequests(study).map(({ manifest }) => manifest);
  for (const path of [...named, ...models.flatMap(({ pretrain }) => pretrain?.manifest ?? [])])
    manifests.set(path, await files.read(path, cohort.manifestLimits, columnsOf(cohort)));
  return manifests;
}

export const manifestOf = (manifests: Manifests, path: string): Manifest => manifests.get(path) as Manifest;

/** Divides the cohorts of a study, once or for each seed. */
export function divideCohorts(study: Study, manifests: Manifests): Divisions {
  const [own, ...others] = cohortRequests(study);
  const divide = (request: CohortRequest, seed: number | null): DividedCohort => {
    const { cases } = manifestOf(manifests, request.manifest);
    const splits = makeSplits(cases, request.split, splitSeed(study, seed), columnsOf(study.cohort));
    return { ...request, cases, splits, patients: patientsOf(cases, splits) };
  };
  const [first, ...later] = varies(study, "split") ? seedsOf(study) : [null];
  const divisionOf = (seed: number | null): SeedDivision => ({
    seed,
    cohorts: [divide(own, seed), ...others.map((other) => divide(other, seed))],
  });
  return [divisionOf(first as number | null), ...later.map(divisionOf)];
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
 * The cases that a model is pretrained on: those of its manifest, or the study's training set, without the patients that
 * the study validates or tests anything on, and without those that are listed.
 *
 * @throws `BAD_CONFIG` where nobody is left
 */
export async function pretrainingCohort(
  model: string,
  { manifest: path, exclude }: PretrainSettings,
  cohorts: DividedCohorts,
  manifests: Manifests,
): Promise<PretrainingCohort> {
  const [own] = cohorts;
  const manifest = manifestOf(manifests, path ?? own.manifest);
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
