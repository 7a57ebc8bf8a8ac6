import { basename } from "node:path";
import { TransferLimitsError } from "../../common/errors.js";
import { ownCommand } from "../../common/own-commands.js";
import { readSealedJson, writeSealedJson } from "../../common/sealed-json.js";
import { requireChecked } from "../../results/checked.js";
import { cohortSchema } from "../../results/cohort.js";
import { type Job, jobFile } from "../../results/job.js";
import { studyPaths } from "../../results/paths.js";
import { resolveStudy } from "../config/resolve.js";
import type { Study } from "../config/schema.js";
import { basesOf, type CellBasis } from "../plan/basis.js";
import { divisionOf, type StudyCohort } from "../plan/cohort-file.js";
import { type PlannedCell, planStudy } from "../plan/plan.js";
import type { CellJob } from "./cell-context.js";

/** What all jobs of a study have in common. */
export interface Prepared {
  study: Study;
  threads: number;
  /** By model that brings weights, SHA-256 of their file. */
  weights: ReadonlyMap<string, string>;
  /** By cell, what its numbers rest on. */
  bases: ReadonlyMap<string, CellBasis>;
}

/** Writes what there is to do for each cell. */
export async function writeJobs(cells: readonly PlannedCell[], prepared: Prepared): Promise<void> {
  const { study, threads, weights, bases } = prepared;
  const paths = studyPaths(study.execution.output);
  for (const { id, dependsOn, model, memoryBytes } of cells) {
    const job: Job = {
      format: "transfer-limits/job@1",
      id,
      dependsOn,
      device: study.execution.device,
      threads,
      weights: weights.get(model) ?? null,
      memoryBytes,
      restsOn: (bases.get(id) as CellBasis).hash,
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
  const { cells } = planStudy(study);
  const cell = cells.find((one) => one.id === job.id);
  // Nothing but the cell itself, and what it starts from, is needed here; nor are the weights of other models known.
  const itsOwn = cells.filter(({ id }) => id === job.id || cell?.dependsOn.includes(id));
  const brought = new Map(cell && job.weights !== null ? [[cell.model, job.weights]] : []);
  const bases = basesOf(study, { cells: itsOwn }, cohort, brought);
  const basis = bases.get(job.id);
  if (cell === undefined || basis === undefined || basis.hash !== job.restsOn)
    throw notPrepared(folder, `the job of ${job.id} was prepared for another study, cohort or version`);
  const { threads, weights } = job;
  return { study, cell, basis, cohort: divisionOf(cohort, cell.seed), threads, weights };
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
