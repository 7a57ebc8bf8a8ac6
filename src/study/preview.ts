import { access } from "node:fs/promises";
import { untakenColumns, type VolumeRole } from "../cohort/columns.js";
import { readManifest } from "../cohort/manifest.js";
import { makeSplits } from "../cohort/splits.js";
import type { TaskKind } from "../common/vocabulary.js";
import { cohortRequests } from "./cohort-file.js";
import type { Study } from "./schema.js";

/** A cohort of a study as its manifest describes it. */
export interface CohortPreview {
  manifest: string;
  tasks: TaskKind[];
  cases: number;
  patients: number;
  /** Columns of the manifest that nobody takes. */
  untaken: string[];
  /** Cases of each set. */
  split: { train: number; validation: number; test: number; unused: number };
  /** Files of the cases in a set that are not there, or cannot be read: `run` leaves such cases out. */
  missing: { case: string; role: VolumeRole; file: string }[];
}

/** Splits the cohorts of a study as `run` will. It reads manifests and looks whether files exist; it opens none. */
export async function previewCohorts(study: Study): Promise<CohortPreview[]> {
  const previews: CohortPreview[] = [];
  for (const { manifest: path, split, tasks } of cohortRequests(study)) {
    const { cases, columns } = await readManifest(path);
    const { train, validation, test, unused } = makeSplits(cases, split, study.seed);
    const left = new Set(unused);
    const missing: CohortPreview["missing"] = [];
    for (const { id, volumes } of cases) {
      if (left.has(id)) continue;
      for (const [role, file] of Object.entries(volumes)) {
        if (!(await exists(file))) missing.push({ case: id, role: role as VolumeRole, file });
      }
    }
    previews.push({
      manifest: path,
      tasks,
      cases: cases.length,
      patients: new Set(cases.map(({ patient }) => patient)).size,
      untaken: untakenColumns(columns),
      split: {
        train: train.length,
        validation: validation.length,
        test: test.length,
        unused: unused.length,
      },
      missing,
    });
  }
  return previews;
}

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );
