import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { PreparedCase } from "../cohort/preprocess.js";
import { writeJson } from "../common/atomic-file.js";
import type { Exclusion } from "./results.js";

/** What the workers need to know of the cohort: `cohort.json` in the study's folder. */
export interface StudyCohort {
  manifest: string;
  /** Cases and patients of the manifest, those left out included. */
  cases: number;
  patients: number;
  /** Prepared cases of each set. */
  split: Record<"train" | "validation" | "test", PreparedCase[]>;
  /** By model: the prepared cases of a pretraining cohort of its own. */
  pretraining: Record<string, PreparedCase[]>;
  excluded: Exclusion[];
}

const pathOf = (folder: string): string => join(folder, "cohort.json");

export const writeCohort = (folder: string, cohort: StudyCohort): Promise<void> =>
  writeJson(pathOf(folder), cohort);

/** The cohort that an earlier run of the study saw; null before the first. */
export async function readCohort(folder: string): Promise<StudyCohort | null> {
  try {
    return JSON.parse(await readFile(pathOf(folder), "utf8")) as StudyCohort;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || error instanceof SyntaxError) return null;
    throw error;
  }
}

/**
 * The ids of cases that differ between two cohorts: in one only, in another set, or with other voxels (a prepared
 * file is named after what it was made from).
 */
export function differingCases(one: StudyCohort, other: StudyCohort): string[] {
  const [a, b] = [fingerprints(one), fingerprints(other)];
  const ids = new Set([...a.keys(), ...b.keys()]);
  return [...ids].filter((id) => a.get(id) !== b.get(id)).map((id) => id.slice(id.indexOf(":") + 1));
}

function fingerprints({ split, pretraining }: StudyCohort): Map<string, string> {
  const all = new Map<string, string>();
  for (const [set, cases] of Object.entries(split)) {
    for (const { id, file } of cases) all.set(`:${id}`, `${set} ${basename(file)}`);
  }
  for (const [model, cases] of Object.entries(pretraining)) {
    for (const { id, file } of cases) all.set(`${model}:${id}`, basename(file));
  }
  return all;
}
