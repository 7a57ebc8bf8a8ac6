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

/** Room for the name of a cell in a process' command line, which a process can change but not lengthen. */
const roomForName = "waiting for a cell".padEnd(200);

/**
 * Works on cells, each in a process of its own. The process of the next cell starts before it is needed, the first at
 * once: it takes half a second to load LibTorch, and several with CUDA.
 */
export class WorkerPool {
  #spare: WorkerProcess | null = null;
  #cellsLeft: number;

  /** @param threads of each process; @param cells how many will be run */
  constructor(
    private readonly threads: number,
    cells: number,
  ) {
    this.#cellsLeft = cells;
    this.#startAhead();
  }

  /** It never rejects: a process that dies is a failed cell. */
  run(job: CellJob, signal: AbortSignal, onEvent: (event: StudyEvent) => void): Promise<Outcome> {
    this.#cellsLeft--;
    const spare = this.#spare;
    this.#spare = null;
    const worker = spare?.isAlive ? spare : new WorkerProcess(this.threads);
    return worker.run(job, signal, (event) => {
      if (event.kind === "cell-started" && !signal.aborted) this.#startAhead();
      onEvent(event);
    });
  }

  #startAhead(): void {
    if (this.#cellsLeft > 0) this.#spare ??= new WorkerProcess(this.threads);
  }

  /** Ends the process that waits for a cell, if there is one. */
  [Symbol.dispose](): void {
    this.#spare?.end();
    this.#spare = null;
  }
}

/** A process that works on one cell, and until then waits for it. */
class WorkerProcess {
  readonly #child: ChildProcess;
  #stderr = "";
  #spawnError: Error | undefined;

  constructor(threads: number) {
    this.#child = fork(program, [roomForName], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      execArgv: [],
      env: { ...process.env, OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) },
    });
    this.#child.on("error", (error) => {
      this.#spawnError = error;
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-lastWords);
    });
  }

  get isAlive(): boolean {
    return this.#child.connected && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }

  run(job: CellJob, signal: AbortSignal, onEvent: (event: StudyEvent) => void): Promise<Outcome> {
    const started = performance.now();
    const child = this.#child;
    let timer: NodeJS.Timeout | undefined;
    const stop = () => {
      this.#send({ kind: "stop" });
      timer = setTimeout(() => this.end(), patience);
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });

    return new Promise((resolve) => {
      let last: Exclude<FromWorker, { kind: "event" }> | undefined;
      child.on("message", (message: FromWorker) => {
        if (message.kind === "event") onEvent(message.event);
        else last = message;
      });
      const outcome = (exitCode: number | null, killedBy: NodeJS.Signals | null): Outcome => {
        if (last?.kind === "done") {
          if (last.liveTensors > 0) warnOfLeak(job.cell.id, last.liveTensors);
          const { metric, nativeSeconds } = last;
          return { kind: "done", metric, seconds: (performance.now() - started) / 1000, nativeSeconds };
        }
        if (last) return last;
        if (signal.aborted) return { kind: "stopped" };
        return { kind: "failed", code: "WORKER_DIED", reason: this.#reasonOfDeath(exitCode, killedBy) };
      };
      const end = (exitCode: number | null, killedBy: NodeJS.Signals | null) => {
        signal.removeEventListener("abort", stop);
        clearTimeout(timer);
        resolve(outcome(exitCode, killedBy));
      };
      child.on("close", end);
      child.on("error", () => {
        if (child.pid === undefined) end(null, null);
      });
      this.#send({ kind: "run", job });
    });
  }

  /** A worker that is gone cannot be told anything; its end is seen elsewhere. */
  #send(message: ToWorker): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  #reasonOfDeath(exitCode: number | null, killedBy: NodeJS.Signals | null): string {
    const how = this.#spawnError
      ? `could not be started: ${this.#spawnError.message}`
      : killedBy
        ? `was killed by ${killedBy}`
        : `ended with exit status ${exitCode}`;
    const memory =
      killedBy === "SIGKILL" ? " (the system does that when memory runs out: try fewer jobs)" : "";
    const words = this.#stderr.trim();
    return `The worker process ${how}${memory}${words ? `. Its last words: ${words}` : ""}`;
  }
}

function warnOfLeak(id: string, count: number): void {
  process.emitWarning(`${count} tensors were still alive when cell ${id} ended`, {
    code: "TRANSFER_LIMITS_LEAK",
  });
}
