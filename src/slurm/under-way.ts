import type { QueuedTask } from "./queue.js";
import type { Submission } from "./record.js";

/** Whether a job in the queue still is to do something: one that was cancelled and has not ended yet is over. */
export const isLive = (one: QueuedTask, earlier: readonly Submission[]): boolean =>
  !(
    one.state === "COMPLETING" &&
    earlier.some(({ number, cancelled }) => number === one.submission && cancelled.has(one.job))
  );

/** By cell, the job that works on it, or will. */
export function cellsUnderWay(
  queue: readonly QueuedTask[],
  earlier: readonly Submission[],
): Map<string, string> {
  const found = new Map<string, string>();
  for (const one of queue) {
    if (one.task === null || !isLive(one, earlier)) continue;
    const submission = earlier.find(({ number }) => number === one.submission);
    for (const id of submission?.arrays.get(one.script)?.[one.task] ?? []) found.set(id, one.id);
  }
  return found;
}
