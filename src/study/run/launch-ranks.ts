import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { TransferLimitsError } from "../../common/errors.js";
import { startProgram } from "../../common/start-program.js";
import { type JoinOptions, Ranks } from "../../native/ranks.js";
import type { RanksStart, StartedRanks } from "../cell/work-on-cell.js";
import { deviceOfRank } from "../plan/devices.js";
import type { FromRank, ToRank } from "./messages.js";

const program = fileURLToPath(new URL("./rank.js", import.meta.url));

/** How long the end of a process may take to be known after its connections broke. */
const patience = 10_000;

/** How much of what a rank wrote to stderr stands in the reason of its death. */
const lastWords = 2000;

/** Starts the other ranks on this machine, and joins them as rank 0. They end with this process. */
export async function launchRanks(folder: string, start: RanksStart): Promise<StartedRanks> {
  const meeting = await mkdtemp(join(tmpdir(), "transfer-limits-ranks-"));
  const joinOf = (rank: number): JoinOptions => ({
    ...{ rank, ranks: start.ranks, file: join(meeting, "store"), address: "127.0.0.1" },
  });
  const others = Array.from({ length: start.ranks - 1 }, (_, index) => {
    const rank = index + 1;
    const device = deviceOfRank(start.device, rank);
    return new LaunchedRank({ ...start, folder, device, join: joinOf(rank) });
  });
  const died = Promise.race(others.map(({ died }) => died));
  died.catch(() => {});
  const end = async () => {
    for (const other of others) other.end();
    await rm(meeting, { recursive: true, force: true });
  };
  try {
    const ranks = await Promise.race([died, Ranks.join(joinOf(0))]);
    const leave = async () => {
      ranks.dispose();
      await end();
    };
    const whyLost = () => Promise.race([died, sleep(patience, undefined, { ref: false })]);
    return { ranks, died, whyLost, [Symbol.asyncDispose]: leave };
  } catch (error) {
    await end();
    throw error;
  }
}

/** A process that trains along. */
class LaunchedRank {
  readonly #child: ChildProcess;
  #stderr = "";
  /** Rejects where it ends otherwise than done or told to. */
  readonly died: Promise<never>;

  constructor(told: ToRank) {
    // What it is there for stands in its command line.
    const child = startProgram(program, [String(told.join.rank), told.id], { stderr: "pipe" });
    this.#child = child;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-lastWords);
    });
    let last: FromRank | undefined;
    child.on("message", (message: FromRank) => {
      last = message;
    });
    const { rank, ranks } = told.join;
    const name = `Rank ${rank} of ${ranks} (process ${child.pid} on ${hostname()})`;
    this.died = new Promise((_, reject) => {
      const dead = (how: string) => reject(new TransferLimitsError("RANK_DIED", `${name} ${how}`));
      child.on("error", (error) => dead(`could not be started: ${error.message}`));
      child.on("close", (code, signal) => {
        if (last?.kind === "done") return;
        if (last?.kind === "failed") {
          // What one rank runs out of, a second try may mend for all.
          const code = last.code === "OUT_OF_MEMORY" ? last.code : "RANK_DIED";
          return reject(new TransferLimitsError(code, `${name} failed: ${last.reason}`));
        }
        const words = this.#stderr.trim();
        const how = signal ? `was killed by ${signal}` : `ended with exit status ${code}`;
        dead(`${how}. Run it again to go on from the last epoch${words ? `. Its last words: ${words}` : ""}`);
      });
    });
    this.died.catch(() => {});
    child.send(told, () => {});
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }
}
