import { basename } from "node:path";
import { type Manifest, readManifest } from "../cohort/manifest.js";
import { type PreparedCase, prepareCohort } from "../cohort/preprocess.js";
import { makeSplits } from "../cohort/splits.js";
import { writeJson } from "../common/atomic-file.js";
import { TransferLimitsError } from "../common/errors.js";
import type { StudyEvent } from "../common/progress.js";
import { studyPaths } from "./cell-folder.js";
import type { StudyCohort } from "./cohort-file.js";
import type { Exclusion } from "./results.js";
import type { Study } from "./schema.js";

export interface PrepareOptions {
  signal: AbortSignal | undefined;
  onProgress: (event: StudyEvent) => void;
}

/**
 * Splits the cohort, writes `splits.json`, and preprocesses every case that the study uses. A case whose files cannot
 * be used keeps its place in the split and is left out with its reason, so that the other cases stay where they are.
 */
export async function prepareStudyCohort(study: Study, options: PrepareOptions): Promise<StudyCohort> {
  const manifest = await readManifest(study.cohort.manifest);
  const splits = makeSplits(manifest.cases, study.split, study.seed);
  await writeJson(studyPaths(study.execution.output).splits, { seed: study.seed, ...splits });

  const used = new Set([...splits.train, ...splits.validation, ...splits.test]);
  const excluded: Exclusion[] = [];
  const prepare = async (from: Manifest): Promise<Map<string, PreparedCase>> => {
    const prepared = await prepareCases(from, study, options);
    excluded.push(...prepared.excluded);
    return new Map(prepared.cases.map((one) => [one.id, one]));
  };
  const cases = await prepare({ ...manifest, cases: manifest.cases.filter(({ id }) => used.has(id)) });
  const those = (ids: readonly string[]) => ids.flatMap((id) => cases.get(id) ?? []);
  const split = {
    train: those(splits.train),
    validation: those(splits.validation),
    test: those(splits.test),
  };

  const pretraining: StudyCohort["pretraining"] = {};
  const byManifest = new Map<string, PreparedCase[]>();
  for (const { name, pretrain } of study.models) {
    if (!pretrain?.manifest) continue;
    const known = byManifest.get(pretrain.manifest);
    const own = known ?? [...(await prepare(await readManifest(pretrain.manifest))).values()];
    byManifest.set(pretrain.manifest, own);
    refuseTestCases(own, [...split.validation, ...split.test], name, pretrain.manifest);
    pretraining[name] = own;
  }
  return {
    manifest: study.cohort.manifest,
    cases: manifest.cases.length,
    patients: new Set(manifest.cases.map(({ patient }) => patient)).size,
    split,
    pretraining,
    excluded,
  };
}

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
