import { resolve } from "node:path";
import { TransferLimitsError } from "../../common/errors.js";
import type { MeasuredMetric, StudyEvent } from "../../common/progress.js";
import { withCodedErrors } from "../../common/system-errors.js";
import { labelOf } from "../cell/cell-context.js";
import { openJob, readJob } from "../cell/job.js";
import { checkDevices, checkDevicesOfRanks } from "../plan/devices.js";
import { ranksOf } from "../plan/ranks.js";
import { attemptCell } from "./attempt.js";
import { type Meeting, requireAsMany } from "./meeting.js";
import { WorkerPool } from "./worker-process.js";

export interface RunCellOptions {
  /** Instead of the study's. */
  device?: string;
  /** Stops it after the present step; working on it again goes on from its last epoch. */
  signal: AbortSignal;
  onProgress(event: StudyEvent): void;
  /** Where several cells are worked on one after the other: processes that start ahead, with the job's threads. */
  workers?: WorkerPool;
  /** Of those that were started together with this process, to train the cell with it. */
  meeting?: Meeting | undefined;
}

/** What became of a cell. */
export interface CellAnswer {
  id: string;
  status: "done" | "failed";
  /** Null for pretraining. */
  metric?: MeasuredMetric | null;
  seconds: number;
  code?: string;
  reason?: string;
}

/**
 * Works on one cell of a prepared study, alone, by the job that lies in the study's folder: in a worker process, as `run`
 * does, so that what ends that process is the cell's failure.
 *
 * @throws `BUSY` where another process works on it; `NOT_READY` where the study is not prepared, or its pretraining is
 *   not done; `ABORTED`; `BAD_CONFIG`, `BAD_FILE`
 */
export async function runCell(
  folderGiven: string,
  id: string,
  { device, signal, onProgress, workers: shared, meeting }: RunCellOptions,
): Promise<CellAnswer> {
  const folder = resolve(folderGiven);
  return withCodedErrors(async () => {
    const job = await readJob(folder, id);
    const place = device ?? job.device;
    checkDevices([place]);
    const { study, cell } = await openJob(folder, job, place);
    if (meeting) requireAsMany(study.execution.ranks, meeting);
    else checkDevicesOfRanks(ranksOf(study, cell), [place]);
    using own = shared === undefined ? new WorkerPool(job.threads, 1) : null;
    const workers = shared ?? (own as WorkerPool);
    const label = labelOf(cell);
    const started = performance.now();
    const outcome = await attemptCell({
      study,
      cell,
      device: place,
      workers,
      meeting,
      signal,
      tell: onProgress,
    });
    const seconds = (performance.now() - started) / 1000;
    switch (outcome.kind) {
      case "done": {
        const { metric, nativeSeconds } = outcome;
        onProgress({ kind: "cell-done", cell: label, metric, seconds, nativeSeconds });
        return { id, status: "done", metric, seconds };
      }
      case "failed": {
        const { code, reason } = outcome;
        onProgress({ kind: "cell-failed", cell: label, reason });
        return { id, status: "failed", seconds, code, reason };
      }
      case "elsewhere":
        throw new TransferLimitsError("BUSY", `${outcome.holder} already works on ${id} in ${folder}.`);
      case "stopped":
        throw new TransferLimitsError(
          "ABORTED",
          `${id} was stopped. Work on it again to go on from its last epoch`,
        );
    }
  });
}
