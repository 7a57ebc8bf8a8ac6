import { execFile } from "node:child_process";
import { messageOf, TransferLimitsError } from "../common/errors.js";

/** A controller that is busy answers late. */
const patience = 120_000;

/**
 * Runs a program of Slurm, without a shell, and answers what it printed.
 *
 * @throws `SLURM` where it is not here, refuses, or does not answer
 */
export function askSlurm(
  program: "sbatch" | "squeue" | "scontrol" | "scancel" | "sacctmgr",
  words: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      program,
      [...words],
      { timeout: patience, maxBuffer: 256 * 1024 * 1024, env: environment },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        if ((error as NodeJS.ErrnoException).code === "ENOENT")
          return reject(
            new TransferLimitsError(
              "SLURM",
              `There is no ${program} on the PATH of this machine. Call this where jobs are submitted to Slurm (a login ` +
                "node); with --dry-run the scripts are written anywhere",
            ),
          );
        const said = stderr.trim() || (error.killed ? "it did not answer" : messageOf(error));
        reject(new TransferLimitsError("SLURM", `${program} failed: ${said}`, { cause: error }));
      },
    );
  });
}
