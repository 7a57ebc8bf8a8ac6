import { describe, TransferLimitsError } from "../../common/errors.js";

/** A process that a launcher started as one of several, which train together. */
export interface StartedRank {
  by: "torchrun" | "srun";
  rank: number;
  ranks: number;
  /** Among those on its machine. */
  localRank: number;
  /** Where they meet. */
  host: string;
  port: number;
  /** Whether the launcher itself listens there; otherwise rank 0 does. */
  isServed: boolean;
  /** Tells what is left there from what an earlier start left. */
  attempt: string;
  /** The network by which the others reach it; null: the one that leads to `host`. */
  networkInterface: string | null;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** As many as `execution.ranks` can be. */
const mostRanks = 256;

/**
 * As which of several processes torchrun or srun started this one; null where it is alone. What sbatch itself starts is alone,
 * whatever number of tasks its job has: only srun numbers its steps.
 *
 * @throws `BAD_CONFIG` for an environment that is incomplete, or contradicts itself
 */
export function startedRank(environment: Environment): StartedRank | null {
  const isStep = environment.SLURM_STEP_ID !== undefined && environment.SLURM_PROCID !== undefined;
  const started =
    environment.RANK !== undefined || (environment.WORLD_SIZE !== undefined && !isStep)
      ? byTorchrun(environment)
      : isStep
        ? bySrun(environment)
        : null;
  return started?.ranks === 1 ? null : started;
}

function byTorchrun(environment: Environment): StartedRank {
  const read = new Reader(environment, "torchrun");
  const ranks = read.number("WORLD_SIZE", 1, mostRanks);
  return {
    by: "torchrun",
    ranks,
    rank: read.number("RANK", 0, ranks - 1),
    localRank: read.number("LOCAL_RANK", 0, ranks - 1),
    host: read.text("MASTER_ADDR"),
    port: read.number("MASTER_PORT", 1, 65_535),
    isServed: environment.TORCHELASTIC_USE_AGENT_STORE === "True",
    attempt: environment.TORCHELASTIC_RESTART_COUNT ?? "0",
    networkInterface: environment.GLOO_SOCKET_IFNAME ?? null,
  };
}

function bySrun(environment: Environment): StartedRank {
  const read = new Reader(environment, "srun");
  const ofStep = environment.SLURM_STEP_NUM_TASKS === undefined ? "SLURM_NTASKS" : "SLURM_STEP_NUM_TASKS";
  const ranks = read.number(ofStep, 1, mostRanks);
  const step = read.number("SLURM_STEP_ID", 0, 2 ** 32);
  const nodes = environment.SLURM_STEP_NODELIST === undefined ? "SLURM_JOB_NODELIST" : "SLURM_STEP_NODELIST";
  const host = () => {
    const first = firstHost(read.text(nodes));
    return first ?? read.refuse(nodes, "a list of hosts such as node[01-04]");
  };
  return {
    by: "srun",
    ranks,
    rank: read.number("SLURM_PROCID", 0, ranks - 1),
    localRank: read.number("SLURM_LOCALID", 0, ranks - 1),
    host: environment.MASTER_ADDR ?? (ranks === 1 ? "" : host()),
    port:
      environment.MASTER_PORT === undefined
        ? portOf(read.number("SLURM_JOB_ID", 0, 2 ** 32), step)
        : read.number("MASTER_PORT", 1, 65_535),
    isServed: false,
    attempt: "0",
    networkInterface: environment.GLOO_SOCKET_IFNAME ?? null,
  };
}

/** Below those that systems hand out by themselves, and another one for each step of a job. */
const portOf = (job: number, step: number): number => 10_000 + ((37 * job + step) % 20_000);

/** The first host of a list as Slurm writes it, such as `gpu[003-006,9]-ib,login`; null where it is none. */
export function firstHost(list: string): string | null {
  const [first = ""] = /^(?:[^[\],\s]+|\[\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*\])+(?=,|$)/.exec(list) ?? [];
  return first.replaceAll(/\[(\d+)[^\]]*\]/g, "$1") || null;
}

/** Reads the variables that a launcher sets. */
class Reader {
  constructor(
    private readonly environment: Environment,
    private readonly launcher: StartedRank["by"],
  ) {}

  text(name: string): string {
    return this.environment[name] || this.refuse(name, "a value");
  }

  number(name: string, least: number, most: number): number {
    const text = this.environment[name] ?? "";
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    return this.refuse(name, `a whole number from ${least} to ${most}`);
  }

  refuse(name: string, expected: string): never {
    const value = this.environment[name];
    const received = value === undefined ? "it is not set" : `received ${describe(value)}`;
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `Expected ${expected} in the environment variable ${name}, as ${this.launcher} sets it for each process that it starts, ` +
        `but ${received}. Start all of them by ${this.launcher}, or unset ${this.launcher === "torchrun" ? "RANK and WORLD_SIZE" : "SLURM_STEP_ID"} to work alone`,
    );
  }
}
