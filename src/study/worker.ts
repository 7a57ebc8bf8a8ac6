/**
 * The program of a worker process: loads LibTorch, waits for a cell, works on it, and ends. It knows its study by
 * messages alone, and dies with it, so that no orphan goes on writing.
 */
import { bounded, messageOf, TransferLimitsError } from "../common/errors.js";
import { codedError } from "../common/system-errors.js";
import { buildInfo, nativeSeconds, setDeterministic, setThreads } from "../native/runtime.js";
import { Tensor } from "../native/tensor.js";
import { type CellJob, runTaskCell } from "./cell.js";
import type { FromWorker, ToWorker } from "./messages.js";
import { runPretrainingCell } from "./pretraining-cell.js";
import { runTrivialCell } from "./trivial-cell.js";

const controller = new AbortController();

const say = (message: FromWorker): Promise<void> =>
  new Promise((resolve) => {
    if (process.send) process.send(message, undefined, undefined, () => resolve());
    else resolve();
  });

async function work(job: CellJob): Promise<FromWorker> {
  process.title = `transfer-limits study/worker.js ${job.cell.id}`;
  void say({ kind: "taken-up" });
  try {
    setThreads(job.threads);
    const { device, deterministic } = job.study.execution;
    if (device !== "cpu") setDeterministic(deterministic);
    const run =
      job.cell.kind === "pretraining"
        ? runPretrainingCell
        : job.cell.network === null
          ? runTrivialCell
          : runTaskCell;
    const { metric } = await run({
      ...job,
      signal: controller.signal,
      tell: (event) => void say({ kind: "event", event }),
    });
    return { kind: "done", metric, nativeSeconds: nativeSeconds(), liveTensors: Tensor.live };
  } catch (error) {
    if (controller.signal.aborted) return { kind: "stopped" };
    const coded = codedError(error);
    const code = coded instanceof TransferLimitsError ? coded.code : "INTERNAL";
    const stack = code === "INTERNAL" && coded instanceof Error ? `\n${coded.stack}` : "";
    return { kind: "failed", code, reason: bounded(messageOf(coded) + stack) };
  }
}

process.on("message", (message: ToWorker) => {
  if (message.kind === "stop") controller.abort();
  else
    void work(message.job).then(async (last) => {
      await say(last);
      // All is written and said. An orderly exit would only run LibTorch's destructors, for longer than the rest took.
      process.kill(process.pid, "SIGKILL");
    });
});
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
// Ctrl-C reaches the whole group of processes; the study decides what it means and says so.
process.on("SIGINT", () => {});

try {
  buildInfo();
} catch {
  // The cell meets the error again and tells it.
}
