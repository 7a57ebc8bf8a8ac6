import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { StudyEvent } from "../common/progress.js";
import type { CellJob } from "./cell.js";
import type { FromWorker, ToWorker } from "./messages.js";
import type { Outcome } from "./schedule.js";

const program = fileURLToPath(new URL("./worker.js", import.meta.url));

/** A worker that was asked to stop and has not stopped after this long is killed. */
const patience = 20_000;

/** How much of what a worker wrote to stderr stands in the reason of its death. */
const lastWords = 2000;

/** Works on a cell in a process of its own. It never rejects: a process that dies is a failed cell. */
export function runInWorker(
  job: CellJob,
  signal: AbortSignal,
  onEvent: (event: StudyEvent) => void,
): Promise<Outcome> {
  const started = performance.now();
  const worker = fork(program, [job.cell.id], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    execArgv: [],
    env: environment(job.threads),
  });
  let stderr = "";
  worker.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-lastWords);
  });
  const stop = stopper(worker);
  if (signal.aborted) stop.ask();
  else signal.addEventListener("abort", stop.ask, { once: true });

  return new Promise((resolve) => {
    let last: Exclude<FromWorker, { kind: "event" }> | undefined;
    worker.on("message", (message: FromWorker) => {
      if (message.kind === "event") onEvent(message.event);
      else last = message;
    });
    let spawnError: Error | undefined;
    worker.on("error", (error) => {
      spawnError = error;
      if (worker.pid === undefined) end(null, null);
    });
    const end = (exitCode: number | null, killedBy: NodeJS.Signals | null) => {
      signal.removeEventListener("abort", stop.ask);
      stop.end();
      resolve(outcome(exitCode, killedBy));
    };
    worker.on("close", end);

    const outcome = (exitCode: number | null, killedBy: NodeJS.Signals | null): Outcome => {
      if (last?.kind === "done") {
        if (last.liveTensors > 0) warnOfLeak(job.cell.id, last.liveTensors);
        return { kind: "done", metric: last.metric, seconds: (performance.now() - started) / 1000 };
      }
      if (last) return last;
      if (signal.aborted) return { kind: "stopped" };
      return {
        kind: "failed",
        code: "WORKER_DIED",
        reason: reasonOfDeath(exitCode, killedBy, spawnError, stderr),
      };
    };
    send(worker, { kind: "run", job });
  });
}

const environment = (threads: number): NodeJS.ProcessEnv => ({
  ...process.env,
  OMP_NUM_THREADS: String(threads),
  MKL_NUM_THREADS: String(threads),
});

/** A worker that is gone cannot be told anything; its end is seen elsewhere. */
const send = (worker: ChildProcess, message: ToWorker): void => {
  if (worker.connected) worker.send(message, () => {});
};

function stopper(worker: ChildProcess): { ask: () => void; end: () => void } {
  let timer: NodeJS.Timeout | undefined;
  return {
    ask: () => {
      send(worker, { kind: "stop" });
      timer = setTimeout(() => worker.kill("SIGKILL"), patience);
    },
    end: () => clearTimeout(timer),
  };
}

function reasonOfDeath(
  exitCode: number | null,
  killedBy: NodeJS.Signals | null,
  spawnError: Error | undefined,
  stderr: string,
): string {
  const how = spawnError
    ? `could not be started: ${spawnError.message}`
    : killedBy
      ? `was killed by ${killedBy}`
      : `ended with exit status ${exitCode}`;
  const memory = killedBy === "SIGKILL" ? " (the system does that when memory runs out: try fewer jobs)" : "";
  const words = stderr.trim();
  return `The worker process ${how}${memory}${words ? `. Its last words: ${words}` : ""}`;
}

function warnOfLeak(id: string, count: number): void {
  process.emitWarning(`${count} tensors were still alive when cell ${id} ended`, {
    code: "TRANSFER_LIMITS_LEAK",
  });
}
