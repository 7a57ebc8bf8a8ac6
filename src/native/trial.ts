import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheFolder } from "./libtorch/lock.js";

/** Said to the child, which loads without a trial of its own. */
export const onTrial = "TRANSFER_LIMITS_ON_TRIAL";

/**
 * Loads a binary that was built elsewhere in a process of its own, once for each binary and LibTorch: what would end a
 * process at once (a symbol that is missing, an instruction that the processor lacks) ends that one alone.
 *
 * @param files everything that is loaded, in this order, with the addon last
 * @returns null where it loads, else in words why not
 */
export function tryInChild(files: readonly string[]): string | null {
  const mark = join(cacheFolder(), "tried", identityOf(files));
  if (existsSync(mark)) return null;
  const { status, signal, stderr, error } = spawnSync(
    process.execPath,
    [fileURLToPath(new URL("./load-once.js", import.meta.url)), ...files],
    { encoding: "utf8", timeout: 60_000, env: { ...process.env, [onTrial]: "1" } },
  );
  if (error) return `the process that tried could not be started: ${error.message}`;
  if (signal) return `the process that tried was ended by ${signal}`;
  if (status !== 0) {
    const words = stderr.trim().split("\n").slice(-3).join("\n");
    return words || `the process that tried ended with exit status ${status}`;
  }
  try {
    mkdirSync(join(cacheFolder(), "tried"), { recursive: true });
    writeFileSync(mark, "");
  } catch {
    // A cache that cannot be written: it is tried again next time.
  }
  return null;
}

/** Changes with every file's place, size and time, and with Node. Containers' images keep times in whole seconds. */
function identityOf(files: readonly string[]): string {
  const facts = files.map((path) => {
    const { size, mtimeMs } = statSync(path);
    return [path, size, Math.floor(mtimeMs / 1000)];
  });
  return createHash("sha256")
    .update(JSON.stringify([process.version, facts]))
    .digest("hex")
    .slice(0, 32);
}
