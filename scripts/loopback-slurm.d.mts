/** Why no Slurm can be started here; null where one can. */
export function reasonAgainst(): string | null;

/** How a loopback Slurm is reached, and what the daemons of it are. */
export class LoopbackSlurm {
  constructor(folder: string, options?: { port?: number });
  /** Of processes that are to use it. */
  readonly environment: NodeJS.ProcessEnv;
  /** Starts all daemons, and waits until the node takes jobs; `more` are further lines of its configuration. */
  start(options?: { more?: readonly string[]; nice?: number }): Promise<void>;
  /** Starts the daemon of the node, also after it was killed. */
  startNode(): void;
  pidOf(daemon: "slurmd" | "slurmctld" | "munged"): number | null;
  stop(): Promise<void>;
}
