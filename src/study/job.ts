import { basename } from "node:path";
import { TransferLimitsError } from "../common/errors.js";
import { ownCommand } from "../common/own-commands.js";
import { readSealedJson, writeSealedJson } from "../common/sealed-json.js";
import { requireChecked } from "../results/checked.js";
import { cohortSchema } from "../results/cohort.js";
import { type Job, jobFile } from "../results/job.js";
import { studyPaths } from "../results/paths.js";
import { basisOf } from "./basis.js";
import type { CellJob } from "./cell.js";
import { divisionOf, type StudyCohort } from "./cohort-file.js";
import { type PlannedCell, planStudy } from "./plan.js";
import { resolveStudy } from "./resolve.js";
import type { Study } from "./schema.js";

/** What all jobs of a study have in common. */
export interface Prepared {
  study: Study;
  cohort: StudyCohort;
  threads: number;
  /** By model that brings weights, SHA-256 of their file. */
  weights: ReadonlyMap<string, string>;
}

/** Writes what there is to do for each cell. */
export async function writeJobs(cells: readonly PlannedCell[], prepared: Prepared): Promise<void> {
  const { study, cohort, threads, weights } = prepared;
  const paths = studyPaths(study.execution.output);
  const restsOn = basisOf(study, cohort);
  for (const { id, dependsOn, model, memoryBytes } of cells) {
    const job: Job = {
      format: "transfer-limits/job@1",
      id,
      dependsOn,
      device: study.execution.device,
      threads,
      weights: weights.get(model) ?? null,
      memoryBytes,
      restsOn,
    };
    await writeSealedJson(paths.job(id), job);
  }
}

/**
 * Reads what there is to do for a cell.
 *
 * @throws `BAD_CONFIG` where the study has no such cell; `NOT_READY` where the study is not prepared, or was prepared for
 *   something else than what lies beside its jobs; `BAD_FILE`
 */
export async function readJob(folder: string, id: string): Promise<Job> {
  const job = isName(id) ? await readPrepared(studyPaths(folder).job(id)) : null;
  if (job === null) {
    const ids = planStudy(await readStudy(folder)).cells.map((cell) => cell.id);
    if (ids.includes(id)) throw notPrepared(folder, `it has no job for ${id}`);
    const shown = ids.slice(0, 10).join(", ") + (ids.length > 10 ? ` and ${ids.length - 10} more` : "");
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `Expected the id of a cell of the study in ${folder} but received ${JSON.stringify(id)}. Its cells are ${shown}`,
    );
  }
  return requireChecked(studyPaths(folder).job(id), job, jobFile, {
    code: "BAD_FILE",
    mend: prepareAgain,
  });
}

/** Everything that working on the cell of a job needs, but for how it is tried again. */
export async function openJob(
  folder: string,
  job: Job,
  device: string,
): Promise<Omit<CellJob, "retry"> & { cell: PlannedCell }> {
  const stored = await readStudy(folder);
  const { execution } = stored;
  // The folder may have another name on this host.
  const study: Study = { ...stored, execution: { ...execution, output: folder, device, devices: [device] } };
  const path = studyPaths(folder).cohort;
  const read = await readPrepared(path);
  if (read === null) throw notPrepared(folder, "it has no cohort.json");
  requireChecked(path, read, cohortSchema, { code: "BAD_FILE", mend: prepareAgain });
  const cohort = read as StudyCohort;
  const cell = planStudy(study).cells.find((one) => one.id === job.id);
  const now = basisOf(study, cohort);
  const differs = (Object.keys(now) as (keyof typeof now)[]).filter(
    (part) => now[part] !== job.restsOn[part],
  );
  if (cell === undefined || differs.length > 0)
    throw notPrepared(folder, `the job of ${job.id} was prepared for another ${differs.join(" and ")}`);
  return { study, cell, cohort: divisionOf(cohort, cell.seed), threads: job.threads, weights: job.weights };
}

/** The study as it was prepared. @throws `NOT_READY`, `BAD_FILE` */
export async function readStudy(folder: string): Promise<Study> {
  const path = studyPaths(folder).resolved;
  const read = await readPrepared(path);
  if (read === null) throw notPrepared(folder, "it has no study.resolved.json");
  const result = resolveStudy(read, folder);
  if ("study" in result) return result.study;
  const faults = result.faults.map(({ path: field, message }) => `${field.join(".")}: ${message}`);
  throw new TransferLimitsError(
    "BAD_FILE",
    `${path} does not hold a sound study: ${faults.join("; ")}. ${prepareAgain}`,
  );
}

/** Null where it is not there. @throws `BAD_FILE` where it is damaged */
async function readPrepared(path: string): Promise<object | null> {
  const found = await readSealedJson(path);
  if (found.state === "damaged")
    throw new TransferLimitsError("BAD_FILE", `${path} is damaged: ${found.reason}. ${prepareAgain}`);
  return found.state === "sound" ? found.value : null;
}

const isName = (id: string): boolean => id !== "" && basename(id) === id && id !== "." && id !== "..";

const prepareAgain = `Prepare the study again: ${ownCommand("prepare", "STUDY")}`;

const notPrepared = (folder: string, what: string): TransferLimitsError =>
  new TransferLimitsError("NOT_READY", `${folder} is not prepared: ${what}. ${prepareAgain}`);
