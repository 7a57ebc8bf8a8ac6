/**
 * The program of a process that trains a cell along with the worker that holds it: does what that one does until the training
 * is over, and writes nothing but what it keeps for itself. It dies with whoever started it.
 */
import { messageOf, TransferLimitsError } from "../../common/errors.js";
import { codedError } from "../../common/system-errors.js";
import { Ranks } from "../../native/ranks.js";
import { setDeterministic, setThreads } from "../../native/runtime.js";
import { openJob, readJob } from "../cell/job.js";
import { workOf } from "../cell/work-on-cell.js";
import type { FromRank, ToRank } from "./messages.js";

async function work({ folder, id, device, join, progress, retry }: ToRank): Promise<FromRank> {
  try {
    const opened = await openJob(folder, await readJob(folder, id), device);
    setThreads(opened.threads);
    if (device !== "cpu") setDeterministic(opened.study.execution.deterministic);
    const ranks = await Ranks.join(join);
    const { signal } = new AbortController(); // it is not asked to stop, but ended
    await workOf(opened.cell)({ ...opened, retry, claim: null, progress, ranks, signal, tell: () => {} });
    return { kind: "done" };
  } catch (error) {
    const coded = codedError(error);
    const code = coded instanceof TransferLimitsError ? coded.code : "INTERNAL";
    return { kind: "failed", code, reason: messageOf(coded) };
  }
}

const say = (message: FromRank): Promise<void> =>
  new Promise((resolve) => {
    if (process.send) process.send(message, undefined, undefined, () => resolve());
    else resolve();
  });

process.on("message", (told: ToRank) => {
  void work(told).then(async (last) => {
    await say(last);
    // An orderly exit would only run LibTorch's destructors.
    process.kill(process.pid, "SIGKILL");
  });
});
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
// Whoever started this one decides what they mean.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
process.on("SIGUSR1", () => {});
