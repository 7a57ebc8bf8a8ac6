import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";

/** A path inside a wheel or inside the unpacked folder: relative, and never upwards. */
const insidePath = z.string().regex(/^(?!\/)(?!.*(^|\/)\.\.(\/|$)).+$/);

/**
 * What is fetched only where it is wanted. `cuda`: LibTorch's CUDA part, which the CUDA flavour of the addon is linked
 * with. `gpu`: CUDA's mathematics (cuBLAS, cuDNN, ...), without which that part cannot be loaded.
 */
export type LockPart = "cuda" | "gpu";

const lockSchema = z.strictObject({
  /** What the wheels make together, in words. */
  name: z.string(),
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  flavour: z.string(),
  python: z.strictObject({ version: z.string(), implementation: z.string(), abi: z.string() }),
  platforms: z.array(z.string()).min(1),
  /** Space on the disk: of what is always fetched, and of each part. */
  unpackedBytes: z.strictObject({
    always: z.number().int().positive(),
    cuda: z.number().int().positive().optional(),
    gpu: z.number().int().positive().optional(),
  }),
  wheels: z.array(
    z.strictObject({
      name: z.string(),
      version: z.string(),
      bytes: z.number().int().positive(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      /** Which entries are unpacked and where to: a folder ends in a slash, everything else is one file. */
      unpack: z.array(
        z.strictObject({ from: insidePath, to: insidePath, part: z.enum(["cuda", "gpu"]).optional() }),
      ),
    }),
  ),
});

/**
 * What `libtorch.lock.json` and `cuda-toolkit.lock.json` pin: one LibTorch, or the CUDA compiler that the addon's CUDA
 * flavour is built with, as wheels with their SHA-256, whatever Python runs pip.
 */
export type WheelLock = z.infer<typeof lockSchema>;
export type LockedWheel = WheelLock["wheels"][number];

/** A lock without what belongs to other parts than these, and without the wheels of which nothing is left. */
export function lockOf(lock: WheelLock, parts: readonly LockPart[]): WheelLock {
  const wheels = lock.wheels
    .map((wheel) => ({
      ...wheel,
      unpack: wheel.unpack.filter(({ part }) => part === undefined || parts.includes(part)),
    }))
    .filter(({ unpack }) => unpack.length > 0);
  return { ...lock, wheels };
}

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
