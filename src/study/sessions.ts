import { cpus, machine, release, totalmem, type } from "node:os";
import { performance } from "node:perf_hooks";
import { writeJson } from "../common/atomic-file.js";
import { packageVersion } from "../common/package-version.js";
import { addonHash } from "../native/build-hash.js";
import { buildInfo } from "../native/runtime.js";
import { readJson, studyPaths } from "./cell-folder.js";
import type { Session } from "./results.js";

/**
 * Records one session of work on a study, from its real start to its real end, in `sessions.json`, beside those before
 * it: cells run side by side, so that their times say nothing of how long a study took.
 */
export class SessionLog {
  readonly #start = performance.now();
  readonly #session: Session;

  private constructor(
    private readonly folder: string,
    private readonly before: readonly Session[],
    where: { devices: readonly string[]; threads: number; jobs: number },
  ) {
    const now = new Date().toISOString();
    this.#session = { started: now, ended: now, seconds: 0, ...where, ...thisMachine(), ...thisBuild() };
  }

  static async begin(
    folder: string,
    where: { devices: readonly string[]; threads: number; jobs: number },
  ): Promise<SessionLog> {
    return new SessionLog(folder, await readSessions(folder), where);
  }

  /** All sessions until now. A session that is killed ends with the last cell that was settled. */
  async update(): Promise<Session[]> {
    // The seconds are of a clock that nobody sets; the dates are for people.
    this.#session.seconds = Math.round(performance.now() - this.#start) / 1000;
    this.#session.ended = new Date().toISOString();
    const all = [...this.before, { ...this.#session }];
    await writeJson(studyPaths(this.folder).sessions, all);
    return all;
  }
}

/** The sessions so far; none where the file is missing or broken, for no number of the study rests on them. */
export async function readSessions(folder: string): Promise<Session[]> {
  try {
    const read = await readJson<Session[]>(studyPaths(folder).sessions);
    return Array.isArray(read) ? read.filter((one) => typeof one?.started === "string") : [];
  } catch {
    return [];
  }
}

function thisMachine(): Pick<Session, "machine"> {
  const processors = cpus();
  return {
    machine: {
      cpu: processors[0]?.model.trim() || "unknown",
      cores: processors.length,
      memoryBytes: totalmem(),
      system: `${type()} ${release()} ${machine()}`,
    },
  };
}

function thisBuild(): Pick<Session, "build"> {
  const { libtorch, compiler, cpuCapability, cudaVersion } = buildInfo();
  return {
    build: {
      package: packageVersion,
      addon: addonHash(),
      libtorch,
      compiler,
      cpuCapability,
      cuda: cudaVersion,
      node: process.version,
    },
  };
}
