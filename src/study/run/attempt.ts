import { TransferLimitsError } from "../../common/errors.js";
import type { StudyEvent } from "../../common/progress.js";
import type { Retry } from "../../results/cell.js";
import { labelOf } from "../cell/cell-context.js";
import { failureOf, recordFailure, retryAfter } from "../cell/work-on-cell.js";
import type { Study } from "../config/schema.js";
import type { PlannedCell } from "../plan/plan.js";
import type { Meeting } from "./meeting.js";
import type { Outcome } from "./schedule.js";
import type { WorkerPool } from "./worker-process.js";

export interface Attempt {
  study: Study;
  cell: PlannedCell;
  device: string;
  workers: WorkerPool;
  meeting?: Meeting | undefined;
  signal: AbortSignal;
  tell(event: StudyEvent): void;
}

/**
 * Has a worker process work on a cell, and a second one where the memory of the first was exhausted and less may do. What
 * a process cannot say itself, as it died, is said here.
 *
 * @throws the code of what speaks against working on the cell, of which nothing is said in the study's folder
 */
export async function attemptCell(attempt: Attempt): Promise<Outcome> {
  const { study, cell, workers, signal, tell } = attempt;
  const first = await attemptOnce(attempt, null);
  if (first.kind !== "failed" || signal.aborted) return first;
  const retry = await retryAfter(study.execution.output, study, cell);
  if (retry === null) return first;
  const { reason, microBatch } = retry;
  tell({ kind: "cell-retried", cell: labelOf(cell), reason, microBatch });
  workers.expectAnother();
  return attemptOnce(attempt, retry);
}

async function attemptOnce(
  { study, cell: { id }, device, workers, meeting, signal, tell }: Attempt,
  retry: Retry | null,
): Promise<Outcome> {
  const folder = study.execution.output;
  const end = await workers.run({ folder, id, device, meeting }, signal, tell);
  if (end.kind === "refused") throw new TransferLimitsError(end.code, end.reason);
  if (end.kind !== "died") return end;
  const failure = failureOf(id, end, retry);
  await recordFailure(folder, failure);
  return { kind: "failed", code: failure.code, reason: failure.reason };
}
