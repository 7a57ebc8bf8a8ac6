import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { CohortCase, Manifest } from "../../cohort/manifest.js";
import { type Exclusion, type PreparedCase, preparedBefore } from "../../cohort/preprocess.js";
import { readSealedJson } from "../../common/sealed-json.js";
import { checked } from "../../results/checked.js";
import { cohortSchema } from "../../results/cohort.js";
import { studyPaths } from "../../results/paths.js";
import { digest } from "./basis.js";
import type { CheckedStudy } from "./checked-study.js";
import type { StudyCohort } from "./cohort-file.js";
import { dividedCohort, preprocessOptions } from "./prepare.js";

/**
 * The cohort as `run` would prepare it, as far as the cache tells: no image is opened, and nothing is written. A case that
 * could not be used the last time, and whose file is the same since, is taken for one that cannot be used now; one that was never
 * prepared stands there as such.
 *
 * @throws `LIBTORCH_MISSING`, as it reads the cache
 */
export async function expectedCohort(of: CheckedStudy): Promise<StudyCohort> {
  const { study } = of;
  const { output, cache } = study.execution;
  const found = await readSealedJson(studyPaths(output).cohort);
  const before = found.state === "sound" && checked(found.value, cohortSchema).value ? found.value : null;
  const writtenAt = await changedAt(studyPaths(output).cohort);
  const excludedBefore = (before as StudyCohort | null)?.excluded ?? [];
  const prepare = async (manifest: Manifest) => {
    const known = await preparedBefore(manifest, preprocessOptions(study.cohort), cache);
    const prepared = new Map(known.map((one) => [one.id, one]));
    const excluded: Exclusion[] = [];
    for (const one of excludedBefore) {
      const path = one.file === null ? null : join(dirname(manifest.path), one.file);
      const changed = path === null ? 0 : await changedAt(path);
      if (!prepared.has(one.case) && changed <= writtenAt) excluded.push(one);
    }
    const without = new Set(excluded.map(({ case: id }) => id));
    const cases = manifest.cases.filter(({ id }) => !without.has(id));
    return { cases: cases.map((one) => prepared.get(one.id) ?? notPrepared(one)), excluded };
  };
  return dividedCohort(of, prepare);
}

/** When a file got its contents or its name; 0 where there is none. */
const changedAt = (path: string): Promise<number> =>
  stat(path).then(
    ({ ctimeMs }) => ctimeMs,
    () => 0,
  );

/** A case of which no more is known than its manifest says; no prepared file has such a name. */
const notPrepared = ({ id, patient, labels, volumes }: CohortCase): PreparedCase => ({
  ...{ id, patient, labels, file: `not prepared yet: ${digest(volumes)}` },
  volumes: Object.keys(volumes),
  spacing: [1, 1, 1],
});
