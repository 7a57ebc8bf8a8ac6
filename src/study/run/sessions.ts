import { cpus, machine, release, totalmem, type } from "node:os";
import { relative } from "node:path";
import { performance } from "node:perf_hooks";
import { packageVersion } from "../../common/package-version.js";
import { writeSealedJson } from "../../common/sealed-json.js";
import type { Damage, OnDamage } from "../../common/set-aside.js";
import { addonHash } from "../../native/build-hash.js";
import { buildInfo } from "../../native/runtime.js";
import { studyPaths } from "../../results/paths.js";
import { readOwn } from "../../results/read-own.js";
import { type Session, sessionsSchema } from "../../results/study.js";

/**
 * The sessions of work on a study, each from its real start to its real end, in `sessions.json`: cells run side by side,
 * so that their times say nothing of how long a study took.
 */
export class SessionLog {
  readonly #start = performance.now();
  readonly #started = new Date().toISOString();
  readonly #folder: string;
  readonly #before: readonly Session[];
  #session: Session | null = null;
  #damages: readonly Damage[] = [];

  private constructor(folder: string, before: readonly Session[]) {
    this.#folder = folder;
    this.#before = before;
  }

  /** Reads the sessions so far. A file that is damaged is set aside: no number rests on it. */
  static async open(folder: string, onDamage: OnDamage): Promise<SessionLog> {
    const read = await readOwn<{ sessions: Session[] }>(
      folder,
      studyPaths(folder).sessions,
      onDamage,
      sessionsSchema,
    );
    return new SessionLog(folder, read?.sessions ?? []);
  }

  /**
   * Begins a session of one's own; whoever has nothing to do begins none.
   *
   * @param damages what was found damaged, to which more may be added until the session ends
   */
  begin(where: Pick<Session, "devices" | "threads" | "jobs">, damages: readonly Damage[]): void {
    const now = new Date().toISOString();
    this.#session = {
      started: this.#started,
      ended: now,
      seconds: 0,
      ...where,
      ...thisMachine(),
      ...thisBuild(),
    };
    this.#damages = damages;
  }

  /** All sessions until now, on disk too. A session that is killed ends with the last cell that was settled. */
  async update(): Promise<Session[]> {
    if (this.#session === null) return [...this.#before];
    // The seconds are of a clock that nobody sets; the dates are for people.
    this.#session.seconds = Math.round(performance.now() - this.#start) / 1000;
    this.#session.ended = new Date().toISOString();
    if (this.#damages.length > 0) this.#session.setAside = this.#damages.map((one) => this.#within(one));
    const sessions = [...this.#before, { ...this.#session }];
    await writeSealedJson(studyPaths(this.#folder).sessions, { sessions });
    return sessions;
  }

  /** Paths as seen from the study's folder. */
  #within({ file, reason, keptAs }: Damage): Damage {
    return { file: relative(this.#folder, file), reason, keptAs: relative(this.#folder, keptAs) };
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
