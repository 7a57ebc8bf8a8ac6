import { mkdir, open, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { z } from "zod";
import { removeTemporaries } from "../../common/atomic-file.js";
import { damageOf, readChecksums, writeChecksums } from "../../common/checksums.js";
import { messageOf, TransferLimitsError } from "../../common/errors.js";
import { readRegularText } from "../../common/regular-file.js";
import { readSealedJson, writeSealedJson } from "../../common/sealed-json.js";
import { isThere, type OnDamage, setAside } from "../../common/set-aside.js";
import {
  type Basis,
  type CellFailure,
  type CellResult,
  cellBasis,
  cellFailureSchema,
  cellResult,
  type EpochRecord,
  type PretrainingResult,
  pretrainingResult,
} from "../../results/cell.js";
import { checked, requireChecked } from "../../results/checked.js";
import { cellFiles, encoderFile, studyPaths } from "../../results/paths.js";
import type { CellBasis } from "../plan/basis.js";
import type { CellClaim } from "./cell-claim.js";
import { moveAway } from "./no-longer.js";

/**
 * Fills a cell's folder, adds the checksums of its files, and gives it its name in one step: it is complete or absent.
 * `fill` writes into a folder that no one else sees.
 *
 * @throws `TAKEN_OVER` where another process has claimed the cell: nothing is written then
 */
export async function completeCell(claim: CellClaim, fill: (partial: string) => Promise<void>) {
  const { folder, id } = claim;
  const paths = studyPaths(folder);
  await claim.publish(paths.cell(id), async (partial) => {
    await mkdir(partial);
    await fill(partial);
    await writeChecksums(partial);
    await synchronise(partial);
  });
  await synchronise(paths.cells);
  await rm(paths.failure(id), { force: true });
  await rm(paths.progress(id), { recursive: true, force: true });
}

/** Weights that a cell keeps for whoever wants them; no number of the study rests on them. */
export const keptWeights = /^(?:last|best|encoder-\d+)\.safetensors$/;

/**
 * Whether a cell is finished, and all that numbers rest on is as it was written. One that is damaged is set aside, and
 * counts as not finished.
 */
export async function isFinished(folder: string, id: string, onDamage: OnDamage): Promise<boolean> {
  const path = studyPaths(folder).cell(id);
  if (!(await isThere(path))) return false;
  const reason = await damageOf(path, keptWeights);
  if (reason !== null) onDamage(await setAside(folder, path, reason));
  return reason === null;
}

/**
 * What a finished cell rests on, by its own file; null where that says nothing that this version understands.
 *
 * @param cell the cell's folder
 */
export async function basisIn(cell: string): Promise<Basis | null> {
  for (const name of [cellFiles.result, cellFiles.pretraining]) {
    try {
      const { basis } = JSON.parse(await readRegularText(join(cell, name))) as { basis?: unknown };
      return checked(basis, cellBasis).value;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "ENOTDIR" && !(error instanceof SyntaxError)) throw error;
    }
  }
  return null;
}

/** How many threads an operation of a finished cell had; null where there is none, or it is damaged. */
export async function threadsOf(folder: string, id: string): Promise<number | null> {
  const cell = studyPaths(folder).cell(id);
  if ((await basisIn(cell)) === null || (await damageOf(cell, keptWeights)) !== null) return null;
  const result = (await readCell(folder, id)) ?? (await readPretraining(folder, id));
  return result?.cost.threads ?? null;
}

/**
 * Whether a cell is finished that rests on what it is to rest on. One that does not is moved to where it is found again should
 * the study ask for it; the claim says that nobody works on it.
 *
 * @param restsOn the hash of its basis
 * @param onMoved told where it lies then
 */
export async function isFinishedAs(
  claim: Pick<CellClaim, "folder" | "id">,
  restsOn: string,
  onDamage: OnDamage,
  onMoved: (keptAs: string) => void,
): Promise<boolean> {
  const { folder, id } = claim;
  if (!(await isFinished(folder, id, onDamage))) return false;
  const basis = await basisIn(studyPaths(folder).cell(id));
  if (basis?.hash === restsOn) return true;
  onMoved(await moveAway(folder, id, basis));
  return false;
}

/** SHA-256 of the encoder that a finished pretraining left; null where there is none. */
export const encoderChecksum = async (folder: string, id: string): Promise<string | null> =>
  (await readChecksums(studyPaths(folder).cell(id)))?.get(encoderFile) ?? null;

/** Makes what a folder lists reach the disk, where the file system can be asked to. */
async function synchronise(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } catch (error) {
    if (!["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(String((error as { code?: unknown }).code)))
      throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Removes what killed processes left behind, but for what belongs to cells: whoever claims one tidies up after those before.
 * Only the holder of the study's lock may call it.
 */
export async function removeLeftovers(folder: string, cache: string): Promise<void> {
  const paths = studyPaths(folder);
  const ownCache = cache.startsWith(join(folder, "/"));
  await removeTemporaries(cache, ownCache ? "none" : "others"); // several studies may share a cache
  // Whoever writes a report does not hold the lock.
  for (const written of [folder, paths.figures, paths.tables]) await removeTemporaries(written, "others");
  for (const own of [dirname(paths.weights("")), dirname(paths.fidelity("")), paths.jobs])
    await removeTemporaries(own, "none");
}

/** Removes what was kept of cells until they were finished. */
export async function removeProgressOf(folder: string, done: ReadonlySet<string>): Promise<void> {
  const paths = studyPaths(folder);
  for (const id of done) {
    await rm(paths.progress(id), { recursive: true, force: true });
    await rm(paths.failure(id), { force: true });
  }
}

/** Says why a cell has no result. @throws `TAKEN_OVER` */
export const writeFailure = (claim: CellClaim, failure: CellFailure): Promise<void> =>
  claim.publish(studyPaths(claim.folder).failure(claim.id), (partial) => writeSealedJson(partial, failure));

export const removeFailure = (folder: string, id: string): Promise<void> =>
  rm(studyPaths(folder).failure(id), { force: true });

/** Why a cell has no result; null where nothing sound is said about it. The next run tries it again in any case. */
export async function readFailure(folder: string, id: string): Promise<CellFailure | null> {
  const found = await readSealedJson(studyPaths(folder).failure(id));
  return found.state === "sound" ? checked(found.value, cellFailureSchema).value : null;
}

export const readCell = (folder: string, id: string): Promise<CellResult | null> =>
  readResult(studyPaths(folder).cellResult(id), cellResult);

export const readPretraining = (folder: string, id: string): Promise<PretrainingResult | null> =>
  readResult(studyPaths(folder).pretrainingResult(id), pretrainingResult);

/** The result of a cell that rests on this; null where there is none. */
export const readCellOf = async (folder: string, id: string, basis: CellBasis | undefined) =>
  (await basisIn(studyPaths(folder).cell(id)))?.hash === basis?.hash ? readCell(folder, id) : null;

/** The same of a pretraining. */
export const readPretrainingOf = async (folder: string, id: string, basis: CellBasis | undefined) =>
  (await basisIn(studyPaths(folder).cell(id)))?.hash === basis?.hash ? readPretraining(folder, id) : null;

/**
 * A file of a finished cell; null where it is not there.
 *
 * @throws `BAD_FILE` where it was damaged since the run began, or does not hold what a cell's result does
 */
async function readResult<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  let value: unknown;
  try {
    value = JSON.parse(await readRegularText(path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    if (!(error instanceof SyntaxError)) throw error;
    throw new TransferLimitsError(
      "BAD_FILE",
      `${path} was damaged while the study ran: ${messageOf(error)}. Run the study again: its cell is then computed anew`,
      { cause: error },
    );
  }
  const mend = `Move ${dirname(path)} away, and run the study again: the cell is then computed anew`;
  return requireChecked(path, value, schema, { code: "BAD_FILE", mend });
}

/** The training curve as a table. */
export function curveCsv(curve: readonly EpochRecord[]): string {
  const rows = curve.map(({ epoch, learningRate, trainingLoss, validationMetric }) =>
    [epoch, learningRate, trainingLoss, validationMetric ?? ""].join(","),
  );
  return ["epoch,learning_rate,training_loss,validation_metric", ...rows, ""].join("\n");
}
