import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { TransferLimitsError } from "../common/errors.js";
import type { OnDamage } from "../common/set-aside.js";
import { Refusal } from "./case-on-grid.js";
import type { OpenImageOptions } from "./image.js";
import type { FromHelper, HelperAnswer, ToHelper } from "./preparation-messages.js";
import type { CaseHelper, CaseToPrepare, PreparedCase, PreprocessOptions } from "./preprocess.js";
import { prostateColumns } from "./presets/prostate.js";

const program = fileURLToPath(new URL("./preparation-helper.js", import.meta.url));

/**
 * A process that prepares cases beside this one, into the same cache. It works with one thread: there are as many processes as
 * cores.
 */
export class PreparationHelper implements CaseHelper {
  readonly #child: ChildProcess;
  readonly #signal: AbortSignal | undefined;
  readonly #onDamage: OnDamage;
  #hear: (answer: HelperAnswer | null) => void = () => {};
  #lives = true;
  readonly #ended: Promise<void>;

  constructor(
    options: PreprocessOptions,
    where: { cache: string; images: OpenImageOptions; signal: AbortSignal | undefined; onDamage: OnDamage },
  ) {
    const { cache, images, signal, onDamage } = where;
    this.#signal = signal;
    this.#onDamage = onDamage;
    const child = fork(program, {
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      execArgv: [],
      serialization: "advanced",
      env: { ...process.env, OMP_NUM_THREADS: "1", MKL_NUM_THREADS: "1" },
    });
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      const end = () => {
        this.#lives = false;
        this.#hear(null);
        resolve();
      };
      child.on("close", end);
      child.on("error", () => {
        if (child.pid === undefined) end(); // it could not be started
      });
    });
    child.on("message", (message: FromHelper) => {
      if (message.kind === "damage") this.#onDamage(message.damage);
      else this.#hear(message);
    });
    signal?.addEventListener("abort", this.#kill, { once: true });
    // A prostate's columns are told by which object they are.
    const { columns, ...plain } = options;
    this.#send({ kind: "open", options: columns === prostateColumns ? plain : options, cache, images });
  }

  /** Whether the process is there; once it is not, cases are prepared elsewhere. */
  get lives(): boolean {
    return this.#lives;
  }

  /**
   * One case at a time.
   *
   * @returns null where the process has ended without an answer
   * @throws `Refusal` and whatever else preparing it threw there
   */
  async prepare(one: CaseToPrepare): Promise<PreparedCase | null> {
    if (!this.#lives) return null;
    const answer = await new Promise<HelperAnswer | null>((resolve) => {
      this.#hear = resolve;
      this.#send({ kind: "prepare", one });
    });
    if (answer === null) return null;
    if (answer.kind === "prepared") return answer.one;
    if (answer.kind === "refused") throw new Refusal(answer.file, answer.reason);
    throw answer.code === null
      ? new Error(answer.message)
      : new TransferLimitsError(answer.code, answer.message);
  }

  /** Ends the process, and is fulfilled once it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#kill);
    this.#kill();
    await this.#ended;
  }

  readonly #kill = (): void => {
    this.#child.kill("SIGKILL");
  };

  #send(message: ToHelper): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }
}
