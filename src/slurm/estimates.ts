import type { Study } from "../study/config/schema.js";
import { uncertainty } from "../study/plan/check-memory.js";
import type { PlannedCell } from "../study/plan/plan.js";
import type { CellTime } from "../study/plan/time-model.js";

/*
 * What Slurm is asked for. Too little time costs nothing but a turn in the queue, as a cell that runs into its limit goes on
 * from its last epoch; too little memory ends it. So memory has the margin within which estimates are right.
 */

/** Of each cell, beside what is planned: waiting for a shared disk, loading LibTorch from it, reading volumes. */
const startSeconds = 60;

/** A job is asked so many times the time for that it is estimated at, and at least so many minutes. */
const timeMargin = 2;
const leastMinutes = 30;

/** Node, and the process that is started ahead for the next cell. */
const besideCell = 1e9;

/** Main memory of a cell that computes on a GPU: CUDA's libraries, and the volumes on their way there. */
const besideGpu = 8e9;

const megabyte = 2 ** 20;

/** Short cells share a task up to so many seconds, or half of the time that a task may take. */
export const packedSeconds = (mostMinutes: number | null): number =>
  Math.min(15 * 60, mostMinutes === null ? Number.POSITIVE_INFINITY : 30 * mostMinutes);

export const isOnGpu = ({ execution }: Pick<Study, "execution">): boolean =>
  (execution.devices?.[0] ?? execution.device) !== "cpu";

/** About how long a cell takes on a node. */
export const secondsOf = ({ seconds }: Pick<CellTime, "seconds">): number => startSeconds + seconds;

/** Main memory that a cell is asked for. */
export function memoryMegabytesOf(
  { memoryBytes }: Pick<PlannedCell, "memoryBytes">,
  study: Pick<Study, "execution">,
): number {
  const bytes = besideCell + (isOnGpu(study) ? besideGpu : uncertainty * memoryBytes);
  return 512 * Math.ceil(bytes / megabyte / 512);
}

/** Minutes that a task is asked for. */
export const minutesOf = (seconds: number, mostMinutes: number | null): number =>
  Math.min(
    Math.max(leastMinutes, Math.ceil((timeMargin * seconds) / 60)),
    mostMinutes ?? Number.POSITIVE_INFINITY,
  );
