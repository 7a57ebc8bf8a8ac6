import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";

/** A path inside a wheel or inside the unpacked folder: relative, and never upwards. */
const insidePath = z.string().regex(/^(?!\/)(?!.*(^|\/)\.\.(\/|$)).+$/);

const lockSchema = z.strictObject({
  /** What the wheels make together, in words. */
  name: z.string(),
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  flavour: z.string(),
  python: z.strictObject({ version: z.string(), implementation: z.string(), abi: z.string() }),
  platforms: z.array(z.string()).min(1),
  unpackedBytes: z.number().int().positive(),
  wheels: z.array(
    z.strictObject({
      name: z.string(),
      version: z.string(),
      bytes: z.number().int().positive(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      /** Which entries are unpacked and where to: a folder ends in a slash, everything else is one file. */
      unpack: z.array(z.strictObject({ from: insidePath, to: insidePath })),
    }),
  ),
});

/**
 * What `libtorch.lock.json` and `cuda-toolkit.lock.json` pin: one LibTorch, or the CUDA compiler that the addon's CUDA
 * flavour is built with, as wheels with their SHA-256, whatever Python runs pip.
 */
export type WheelLock = z.infer<typeof lockSchema>;
export type LockedWheel = WheelLock["wheels"][number];

/** Reads a lock file that the package carries. */
export function readLock(of: "libtorch" | "cuda-toolkit" = "libtorch"): WheelLock {
  const path = fileURLToPath(new URL(`../../../${of}.lock.json`, import.meta.url));
  return lockSchema.parse(JSON.parse(readFileSync(path, "utf8")));
}

/** The package's folder under the XDG cache folder. A relative XDG_CACHE_HOME does not count, says its standard. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment.XDG_CACHE_HOME;
  return join(base && isAbsolute(base) ? base : join(homedir(), ".cache"), "transfer-limits");
}

/** Where what a lock pins lies once it is fetched, such as `libtorch-2.14.1`: complete or absent. */
export function fetchedFolder(
  lock: Pick<WheelLock, "name" | "version">,
  environment: NodeJS.ProcessEnv = process.env,
): string {
  const name = lock.name.toLowerCase().replaceAll(" ", "-");
  return join(cacheFolder(environment), `${name}-${lock.version}`);
}
