import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, TransferLimitsError } from "../common/errors.js";

/** sbatch reads names of files as patterns, in which these have a meaning, or which they end. */
export function refuseFolder(folder: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (!/[\\\u0000-\u001f\u007f]/.test(folder)) return;
  throw new TransferLimitsError(
    "BAD_CONFIG",
    `Expected a path without backslashes and control characters for execution.output, as Slurm reads it as a pattern, but ` +
      `received ${describe(folder)}`,
  );
}

/** Refuses lines that no shell understands, before jobs wait for hours to find that out. */
export async function refuseUnreadable(setup: string, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return;
  const words = await new Promise<string>((resolve) => {
    execFile("bash", ["-n", setup], (error, _, stderr) => resolve(error === null ? "" : stderr.trim()));
  });
  if (words === "") return;
  await rm(dirname(setup), { recursive: true, force: true });
  throw new TransferLimitsError(
    "BAD_CONFIG",
    `Expected lines of the shell for execution.slurm.setup, but bash does not understand them: ${words}`,
  );
}
