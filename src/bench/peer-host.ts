import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { messageOf } from "../common/errors.js";

/** Where the peers' programs lie in the repository; the npm package does not hold them. */
export const peersFolder = fileURLToPath(new URL("../../bench/peers", import.meta.url));

/** A request that takes longer than this, in milliseconds, is given up, and its process with it. */
const patience = 600_000;

/** Why a peer cannot be timed, and what to do about it. */
export class PeerUnavailable extends Error {}

const answerSchema = z.object({
  id: z.number(),
  seconds: z.number().positive().optional(),
  values: z.array(z.number().nullable()).optional(),
  versions: z.record(z.string(), z.string()).optional(),
  error: z.object({ kind: z.string(), message: z.string() }).optional(),
});
type PeerAnswer = z.infer<typeof answerSchema>;

/** Which Python runs the peers. */
export class PeerHost {
  readonly #python: string;
  readonly #threads: number;
  readonly #patience: number;

  /** `milliseconds`: how long one request may take. */
  constructor(python: string, threads: number, milliseconds = patience) {
    this.#python = python;
    this.#threads = threads;
    this.#patience = milliseconds;
  }

  /** A process that stays alive until it is disposed, or `signal` is aborted: its start is not timed. */
  open(signal?: AbortSignal): PeerProcess {
    return new PeerProcess(this.#python, this.#threads, this.#patience, signal);
  }
}

/** A peer's process: asked and answered one line at a time (bench/peers/peer.py says how). */
export class PeerProcess implements AsyncDisposable {
  readonly #python: string;
  readonly #patience: number;
  readonly #child: ChildProcess | null = null;
  readonly #closed: Promise<void> = Promise.resolve();
  #waiting: { resolve: (answer: PeerAnswer) => void; reject: (error: Error) => void; id: number } | null =
    null;
  #ended: string | null = null;
  #lastWords = "";
  #count = 0;

  constructor(python: string, threads: number, milliseconds: number, signal?: AbortSignal) {
    this.#python = python;
    this.#patience = milliseconds;
    const program = join(peersFolder, "peer.py");
    if (!existsSync(program)) {
      this.#ended = `the peers lie in the repository of transfer-limits, not in its package: ${program} is not there`;
      return;
    }
    const count = String(threads);
    const child = spawn(python, [program], {
      stdio: ["pipe", "pipe", "pipe"],
      ...(signal && { signal }),
      env: { ...process.env, OMP_NUM_THREADS: count, MKL_NUM_THREADS: count, OPENBLAS_NUM_THREADS: count },
    });
    this.#child = child;
    child.stdin.on("error", () => {}); // it ended: `close` says so
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-2000);
    });
    createInterface({ input: child.stdout }).on("line", (line) => this.#receive(line));
    this.#closed = new Promise((resolve) => {
      child.on("error", (error: NodeJS.ErrnoException) => {
        this.#end(
          error.code === "ENOENT"
            ? `${python} was not found; name a Python 3 that has the modules of bench/peers/requirements.txt with --peers`
            : `the process of ${python} was given up: ${error.message}`,
        );
        resolve();
      });
      child.on("close", (code, signal) => {
        const words = this.#lastWords.trim().split("\n").at(-1) ?? "";
        this.#end(
          `the peer's process ended (${signal ?? `exit status ${code}`})${words ? `: ${words}` : ""}`,
        );
        resolve();
      });
    });
  }

  /** Builds a peer of `work`, untimed; answers the versions of the libraries at work. */
  async prepare(work: string, peer: string, options: object): Promise<Record<string, string>> {
    return (await this.#ask({ do: "prepare", work, peer, options })).versions ?? {};
  }

  /** One run: its seconds, as the peer's own clock has them. */
  async run(peer: string): Promise<number> {
    const { seconds } = await this.#ask({ do: "run", peer });
    if (seconds === undefined) throw new PeerUnavailable("the peer did not say how long it took");
    return seconds;
  }

  /** A sample of what the last run computed. */
  answer(peer: string): Promise<number[]> {
    return this.#values({ do: "answer", peer });
  }

  /** The same in float64. */
  reference(work: string, options: object): Promise<number[]> {
    return this.#values({ do: "reference", work, options });
  }

  async #values(request: object): Promise<number[]> {
    const { values = [] } = await this.#ask(request);
    return values.map((value) => value ?? Number.NaN);
  }

  #ask(request: object): Promise<PeerAnswer> {
    const stdin = this.#child?.stdin;
    if (this.#ended !== null || !stdin)
      return Promise.reject(new PeerUnavailable(this.#ended ?? "it has ended"));
    const id = ++this.#count;
    const answered = new Promise<PeerAnswer>((resolve, reject) => {
      this.#waiting = { resolve, reject, id };
    });
    stdin.write(`${JSON.stringify({ id, ...request })}\n`);
    const timer = setTimeout(() => {
      this.#end(`it was given up: one request took longer than ${this.#patience / 1000} seconds`);
      this.#child?.kill("SIGKILL");
    }, this.#patience);
    return answered.finally(() => clearTimeout(timer));
  }

  #receive(line: string): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#waiting = null;
    try {
      // Python writes NaN and Infinity, which are no JSON.
      const answer = answerSchema.parse(JSON.parse(line.replace(/-?\b(NaN|Infinity)\b/g, "null")));
      if (answer.id !== waiting.id)
        throw new Error(`expected the answer ${waiting.id} but received ${answer.id}`);
      if (answer.error) waiting.reject(new PeerUnavailable(this.#reason(answer.error)));
      else waiting.resolve(answer);
    } catch (error) {
      waiting.reject(new PeerUnavailable(`the peer's answer is not sound: ${messageOf(error)}`));
    }
  }

  #reason({ kind, message }: { kind: string; message: string }): string {
    const text = message.split("\n")[0] ?? "";
    if (kind !== "ModuleNotFoundError") return `${kind}: ${text}`;
    const own = /No module named '(pykeops|torch|numpy|sklearn|skimage|nibabel)/.exec(message)?.[1];
    const what = own === "pykeops" ? "pykeops" : "-r bench/peers/requirements.txt";
    return `${text}; install it: ${this.#python} -m pip install ${what}`;
  }

  #end(reason: string): void {
    this.#ended ??= reason;
    this.#waiting?.reject(new PeerUnavailable(this.#ended));
    this.#waiting = null;
  }

  /** Ends the process; one that does not end by itself is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined) return;
    child.stdin?.end();
    const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await this.#closed;
    clearTimeout(timer);
  }
}
