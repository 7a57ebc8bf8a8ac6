import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { TransferLimitsError } from "../common/errors.js";
import type { OnDamage } from "../common/set-aside.js";
import { startProgram } from "../common/start-program.js";
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
  #hear: (answer: HelperAnswer | null) => void = () => {};
  #lives = true;
  readonly #ended: Promise<void>;

  constructor(
    options: PreprocessOptions,
    where: { cache: string; images: OpenImageOptions; onDamage: OnDamage },
  ) {
    const { cache, images, onDamage } = where;
    const child = startProgram(program, [], { threads: 1, stderr: "ignore", serialization: "advanced" });
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
      if (message.kind === "damage") onDamage(message.damage);
      else this.#hear(message);
    });
    // A prostate's columns are told by which object they are.
    const { columns, ...plain } = options;
    this.#send({ kind: "open", options: columns === prostateColumns ? plain : options, cache, images });
  }

  get lives(): boolean {
    return this.#lives;
  }

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

  /** Fulfilled once the process is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  #send(message: ToHelper): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }
}
