import type { JoinOptions } from "../../native/ranks.js";
import { Ranks } from "../../native/ranks.js";
import { setDeterministic, setThreads } from "../../native/runtime.js";
import { openJob, readJob } from "../cell/job.js";
import { type RanksStart, workOf } from "../cell/work-on-cell.js";

/**
 * Trains a cell along with the process that holds it: does what that one does until the training is over, and writes nothing but
 * what it keeps for itself.
 *
 * @param device where this process computes
 */
export async function trainAlong(
  folder: string,
  { id, progress, retry }: RanksStart,
  device: string,
  join: JoinOptions,
): Promise<void> {
  const opened = await openJob(folder, await readJob(folder, id), device);
  setThreads(opened.threads);
  if (device !== "cpu") setDeterministic(opened.study.execution.deterministic);
  using ranks = await Ranks.join(join);
  const { signal } = new AbortController(); // it is not asked to stop, but ended
  await workOf(opened.cell)({ ...opened, retry, claim: null, progress, ranks, signal, tell: () => {} });
}
