import type { Study } from "../study/config/schema.js";
import { uncertainty } from "../study/plan/check-memory.js";
import type { PlannedCell } from "../study/plan/plan.js";

/*
 * What Slurm is asked for. Too little time costs nothing but a turn in the queue, as a cell that runs into its limit goes on
 * from its last epoch; too little memory ends it. So memory has the margin within which estimates are right.
 */

/** Multiplications a second that a cell is expected to get out of a core, or a GPU: a tenth of what new ones can do, or less. */
const perCore = 1e10;
const perGpu = 1e12;

/** Of each cell: starting a process, loading LibTorch, reading volumes. */
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

/**
 * About how long a cell takes.
 *
 * @param pace seconds a unit of cost, of cells that are done; null where none is
 */
export function secondsOf(
  { cost }: Pick<PlannedCell, "cost">,
  study: Pick<Study, "execution">,
  { threads, pace }: { threads: number; pace: number | null },
): number {
  const estimate = 1 / (isOnGpu(study) ? perGpu : perCore * threads);
  return startSeconds + cost * (pace ?? estimate);
}

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
