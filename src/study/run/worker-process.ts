import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { StudyEvent } from "../../common/progress.js";
import { startProgram } from "../../common/start-program.js";
import { lessMemory, saysOutOfMemory } from "../../common/system-errors.js";
import type { CellEnd } from "../cell/work-on-cell.js";
import type { CellPlace, FromWorker, ToWorker } from "./messages.js";

const program = fileURLToPath(new URL("./worker.js", import.meta.url));

/** A worker that was asked to stop and has not stopped after this long is killed. */
const patience = 20_000;

/** How much of what a worker wrote to stderr stands in the reason of its death. */
const lastWords = 2000;

/** How much of it is kept: V8 says why it gives up before it lists where. */
const keptWords = 64 * 1024;

/** So many processes wait for cells: cells that only test can be over before another process has started. */
const waitingAtMost = 2;

/** Room for the name of a cell in a process' command line, which a process can change but not lengthen. */
const roomForName = "waiting for a cell".padEnd(200);

/** How a worker process ended, and its cell. */
export type WorkerEnd =
  | (Extract<CellEnd, { kind: "done" }> & { seconds: number; nativeSeconds: number })
  | Exclude<CellEnd, { kind: "done" }>
  /** Without a word of its own. */
  | { kind: "died"; code: "OUT_OF_MEMORY" | "WORKER_DIED"; reason: string };

/**
 * Works on cells, each in a process of its own, or several one after the other in one. Processes start before they are needed,
 * the first at once: it takes half a second to load LibTorch, and several with CUDA.
 */
export class WorkerPool {
  readonly #waiting: WorkerProcess[] = [];
  #cellsLeft: number;

  /** @param threads of each process; @param cells how many will be run; @param cellsPerProcess at most, each */
  constructor(
    private readonly threads: number,
    cells: number,
    private readonly cellsPerProcess = 1,
  ) {
    this.#cellsLeft = cells;
    this.#startAhead();
  }

  /** One of the cells will be run a second time. */
  expectAnother(): void {
    this.#cellsLeft++;
  }

  /** So many cells will be run, which was not known for sure before. */
  expect(cells: number): void {
    this.#cellsLeft = cells;
    this.#startAhead();
  }

  /** It never rejects. */
  async run(place: CellPlace, signal: AbortSignal, onEvent: (event: StudyEvent) => void): Promise<WorkerEnd> {
    this.#cellsLeft--;
    for (;;) {
      const waiting = this.#takeWaiting(place.device);
      const worker = waiting ?? new WorkerProcess(this.threads);
      const stays = this.#cellsLeft > 0 && worker.cells + 1 < this.cellsPerProcess;
      const outcome = await worker.run(place, stays, signal, (event) => {
        if (event.kind === "cell-started" && !signal.aborted) this.#startAhead();
        onEvent(event);
      });
      if (worker.isFree) this.#waiting.unshift(worker);
      // What ended a process that only waited has nothing to do with the cell.
      if (!waiting || worker.tookUpItsCell || signal.aborted) return outcome;
    }
  }

  /** One that has not worked yet, or on that device: it holds memory there. */
  #takeWaiting(device: string): WorkerProcess | undefined {
    const index = this.#waiting.findIndex((one) => one.device === null || one.device === device);
    return index < 0 ? undefined : this.#waiting.splice(index, 1)[0];
  }

  #startAhead(): void {
    // Those that work come back where they work on several.
    const most = this.cellsPerProcess === 1 ? waitingAtMost : 1;
    while (this.#waiting.length < Math.min(most, this.#cellsLeft))
      this.#waiting.push(new WorkerProcess(this.threads));
  }

  /** Ends the processes that wait for a cell. */
  [Symbol.dispose](): void {
    for (const worker of this.#waiting.splice(0)) worker.end();
  }
}

/** How a process ended. */
interface End {
  exitCode: number | null;
  killedBy: NodeJS.Signals | null;
}

/** A process that works on a cell, or several one after the other, and until then waits. */
class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<End>;
  #tookUpItsCell = false;
  #stderr = "";
  #spawnError: Error | undefined;
  #killedForMemoryBefore = killedForMemory();
  /** Of the last cell that it worked on; null: none yet. */
  device: string | null = null;
  /** How many it has worked on. */
  cells = 0;
  /** Whether it waits for another. */
  isFree = false;

  constructor(threads: number) {
    const child = startProgram(program, [roomForName], { threads, stderr: "pipe" });
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.on("close", (exitCode, killedBy) => resolve({ exitCode, killedBy }));
      child.on("error", (error) => {
        this.#spawnError = error;
        if (child.pid === undefined) resolve({ exitCode: null, killedBy: null });
      });
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-keptWords);
    });
  }

  /** Whether it heard of its cell before it ended. */
  get tookUpItsCell(): boolean {
    return this.#tookUpItsCell;
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }

  /** @param stays whether it may wait for another cell afterwards: it does where all went well, see `isFree` */
  async run(
    place: CellPlace,
    stays: boolean,
    signal: AbortSignal,
    onEvent: (event: StudyEvent) => void,
  ): Promise<WorkerEnd> {
    const started = performance.now();
    this.#begin(place.device);
    let timer: NodeJS.Timeout | undefined;
    const stop = () => {
      this.#send({ kind: "stop" });
      timer = setTimeout(() => this.end(), patience);
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });

    let last: Extract<FromWorker, { kind: "ended" }> | undefined;
    let saysLast = () => {};
    const saidLast = new Promise<void>((resolve) => {
      saysLast = resolve;
    });
    const hear = (message: FromWorker) => {
      if (message.kind === "taken-up") this.#tookUpItsCell = true;
      else if (message.kind === "event") onEvent(message.event);
      else {
        last = message;
        saysLast();
      }
    };
    this.#child.on("message", hear);
    this.#send({ kind: "run", place, stays });
    if (stays) await Promise.race([this.#ended, saidLast]);
    this.isFree = stays && last?.end.kind === "done" && last.liveTensors === 0 && !signal.aborted;
    if (stays && !this.isFree) this.end();
    if (!this.isFree) await this.#ended;
    this.#child.off("message", hear);
    signal.removeEventListener("abort", stop);
    clearTimeout(timer);
    if (last?.end.kind === "done") {
      if (last.liveTensors > 0) warnOfLeak(place.id, last.liveTensors);
      const { nativeSeconds } = last;
      return { ...last.end, seconds: (performance.now() - started) / 1000, nativeSeconds };
    }
    if (last) return last.end;
    if (signal.aborted) return { kind: "stopped" };
    const end = await this.#ended;
    const code = this.#ranOutOfMemory(end) ? "OUT_OF_MEMORY" : "WORKER_DIED";
    return { kind: "died", code, reason: this.#reasonOfDeath(end, code) };
  }

  /** What is known of it is of this cell from now on. */
  #begin(device: string): void {
    if (this.cells > 0) {
      this.#killedForMemoryBefore = killedForMemory();
      this.#stderr = "";
    }
    this.#tookUpItsCell = false;
    this.isFree = false;
    this.device = device;
    this.cells++;
  }

  /** A worker that is gone cannot be told anything; its end is seen elsewhere. */
  #send(message: ToWorker): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  /** Whether it said so itself, or was killed while the system was ending processes for want of memory. */
  #ranOutOfMemory({ killedBy }: End): boolean {
    if (saysOutOfMemory(this.#stderr) || saysOutOfMemory(this.#spawnError?.message ?? "")) return true;
    return killedBy === "SIGKILL" && killedForMemory() > this.#killedForMemoryBefore;
  }

  #reasonOfDeath({ exitCode, killedBy }: End, code: string): string {
    const how = this.#spawnError
      ? `could not be started: ${this.#spawnError.message}`
      : killedBy
        ? `was killed by ${killedBy}`
        : `ended with exit status ${exitCode}`;
    const memory =
      code === "OUT_OF_MEMORY"
        ? `, as no memory was left: less is needed with ${lessMemory}`
        : killedBy === "SIGKILL"
          ? " (the system does that when memory runs out: try fewer jobs)"
          : "";
    const words = code === "OUT_OF_MEMORY" ? "" : this.#stderr.trim().slice(-lastWords);
    return `The worker process ${how}${memory}${words ? `. Its last words: ${words}` : ""}`;
  }
}

/** How many processes the system has ended for want of memory since it started; 0 where it does not say. */
function killedForMemory(): number {
  try {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync("/proc/vmstat", "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function warnOfLeak(id: string, count: number): void {
  process.emitWarning(`${count} tensors were still alive when cell ${id} ended`, {
    code: "TRANSFER_LIMITS_LEAK",
  });
}
