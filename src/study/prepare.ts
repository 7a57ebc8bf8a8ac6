import { basename } from "node:path";
import { type Manifest, readManifest } from "../cohort/manifest.js";
import { type PreparedCase, prepareCohort } from "../cohort/preprocess.js";
import { makeSplits, type Splits } from "../cohort/splits.js";
import { writeJson } from "../common/atomic-file.js";
import { TransferLimitsError } from "../common/errors.js";
import type { StudyEvent } from "../common/progress.js";
import { studyPaths } from "./cell-folder.js";
import { cohortRequests, type SplitCohort, type StudyCohort } from "./cohort-file.js";
import type { Exclusion } from "./results.js";
import type { Study } from "./schema.js";

export interface PrepareOptions {
  signal: AbortSignal | undefined;
  onProgress: (event: StudyEvent) => void;
}

/**
 * Splits the study's cohort and those of single tasks, writes `splits.json`, and preprocesses every case that is used. A case whose files cannot
 * be used keeps its place in the split and is left out with its reason, so that the other cases stay where they are.
 */
export async function prepareStudyCohort(study: Study, options: PrepareOptions): Promise<StudyCohort> {
  const requests = cohortRequests(study);
  const manifests = new Map<string, Manifest>();
  for (const { manifest: path } of requests) {
    if (!manifests.has(path)) manifests.set(path, await readManifest(path));
  }
  const splitOf = ({ manifest, split }: (typeof requests)[number]) =>
    makeSplits((manifests.get(manifest) as Manifest).cases, split, study.seed);
  const [request, ...others] = requests;
  const splits = splitOf(request);
  const ofTasks = others.map((other) => ({ ...other, splits: splitOf(other) }));
  await writeJson(studyPaths(study.execution.output).splits, {
    seed: study.seed,
    ...splits,
    ...(ofTasks.length === 0
      ? {}
      : { others: ofTasks.map(({ manifest, tasks, splits }) => ({ manifest, tasks, ...splits })) }),
  });

  const excluded: Exclusion[] = [];
  const prepare = async (from: Manifest): Promise<Map<string, PreparedCase>> => {
    const prepared = await prepareCases(from, study, options);
    excluded.push(...prepared.excluded);
    return new Map(prepared.cases.map((one) => [one.id, one]));
  };
  const own = { ...request, splits };
  const prepared = new Map<string, Map<string, PreparedCase>>();
  for (const [path, manifest] of manifests) {
    const used = new Set(
      [own, ...ofTasks].flatMap((part) => (part.manifest === path ? usedOf(part.splits) : [])),
    );
    prepared.set(
      path,
      await prepare({ ...manifest, cases: manifest.cases.filter(({ id }) => used.has(id)) }),
    );
  }
  const divided = (part: typeof own): SplitCohort => {
    const { cases } = manifests.get(part.manifest) as Manifest;
    const those = (ids: readonly string[]) => ids.flatMap((id) => prepared.get(part.manifest)?.get(id) ?? []);
    return {
      manifest: part.manifest,
      cases: cases.length,
      patients: new Set(cases.map(({ patient }) => patient)).size,
      split: {
        train: those(part.splits.train),
        validation: those(part.splits.validation),
        test: those(part.splits.test),
      },
    };
  };
  const cohort = divided(own);
  const tasks: StudyCohort["tasks"] = {};
  for (const part of ofTasks) {
    const cohortOfPart = divided(part);
    for (const task of part.tasks) tasks[task] = cohortOfPart;
  }
  const tested = [cohort, ...Object.values(tasks)].flatMap(({ split }) => [
    ...split.validation,
    ...split.test,
  ]);

  const pretraining: StudyCohort["pretraining"] = {};
  const byManifest = new Map<string, PreparedCase[]>();
  for (const { name, pretrain } of study.models) {
    if (!pretrain) continue;
    if (!pretrain.manifest) {
      refuseTestCases(cohort.split.train, tested, name, `the training set of ${cohort.manifest}`);
      continue;
    }
    const known = byManifest.get(pretrain.manifest);
    const own = known ?? [...(await prepare(await readManifest(pretrain.manifest))).values()];
    byManifest.set(pretrain.manifest, own);
    refuseTestCases(own, tested, name, pretrain.manifest);
    pretraining[name] = own;
  }
  return { ...cohort, tasks, pretraining, excluded };
}

const usedOf = ({ train, validation, test }: Splits): string[] => [...train, ...validation, ...test];

function prepareCases(
  manifest: Manifest,
  { cohort, execution }: Study,
  { signal, onProgress }: PrepareOptions,
) {
  return prepareCohort(
    manifest,
    { voxels: cohort.voxels, crop: cohort.crop, normalise: cohort.normalise, masks: cohort.masks },
    {
      cache: execution.cache,
      ...(signal ? { signal } : {}),
      onCase: (event) => onProgress({ kind: "case", ...event }),
    },
  );
}

/** Pretraining must not see what is tested. Prepared files are named after what they were made from. */
function refuseTestCases(
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
      `holds ${shared.length} of their cases: ${shown}`,
  );
}
