import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("rank-process.mjs", import.meta.url));

/**
 * Processes that train together; they find each other by a file, or at that `port`, where rank 0 listens.
 *
 * @param devices of each rank; default: the CPU for all
 */
export async function startRanks(count, settings, { port, devices = [] } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "transfer-limits-ranks-"));
  const file = join(folder, "store");
  const storeOf = (rank) => (port === undefined ? { file } : { host: "127.0.0.1", port, serves: rank === 0 });
  const started = Array.from({ length: count }, (_, rank) => {
    const child = fork(program, { serialization: "advanced", execArgv: [] });
    const meeting = { rank, ranks: count, ...storeOf(rank), address: "127.0.0.1" };
    child.send({ join: meeting, settings, device: devices[rank] ?? "cpu" });
    return new RankProcess(child);
  });
  void Promise.all(started.map(({ ended }) => ended)).then(() => rm(folder, { recursive: true }));
  return started;
}

class RankProcess {
  #told = [];

  constructor(child) {
    this.child = child;
    child.on("message", (message) => this.#told.push(message));
    this.ended = new Promise((resolve) => child.once("close", () => resolve()));
  }

  /** What it tells of a setting. */
  async answer(index) {
    while (this.#told.length <= index) {
      const ended = await Promise.race([this.ended.then(() => true), once(this.child, "message")]);
      if (ended === true) break;
    }
    return this.#told[index] ?? this.#told.at(-1) ?? { error: "the process ended and told nothing" };
  }

  /** What it told until it ended. */
  async told() {
    await this.ended;
    return this.#told;
  }
}
