import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { TransferLimitsError } from "../../common/errors.js";
import { whileLocked } from "../../common/lock.js";
import { hasDriver } from "../flavour.js";
import { type LibTorch, locateLibTorch, searchReport } from "../libtorch.js";
import {
  cacheFolder,
  fetchedFolder,
  type LockedWheel,
  type LockPart,
  lockOf,
  readLock,
  type WheelLock,
} from "./lock.js";
import { requirePip, runPython } from "./python.js";
import { faultOfLibrary } from "./shared-library.js";
import { downloadWheel } from "./wheels.js";

/** What a fetch tells while it works. */
export type FetchEvent =
  | { kind: "waiting"; reason: string }
  | { kind: "download"; wheel: string; bytes: number; total: number }
  | { kind: "unpack"; wheel: string }
  | { kind: "done"; name: string; folder: string };

export interface FetchOptions {
  onProgress?: (event: FetchEvent) => void;
  /** Where `XDG_CACHE_HOME` and pip's settings are read from. */
  environment?: NodeJS.ProcessEnv;
  /** What to fetch; left out, what the package pins. */
  lock?: WheelLock;
  /** What else than its CPU part of LibTorch; left out, all where NVIDIA's driver is there, and nothing elsewhere. */
  parts?: readonly LockPart[];
}

/**
 * Fetches the pinned LibTorch into the package's cache, once, as `fetchWheels` does.
 *
 * @throws `LIBTORCH_MISSING`, with what is missing (Python, pip, network, disk space) and how to mend it.
 */
export async function fetchLibTorch(options: FetchOptions = {}): Promise<LibTorch> {
  const { onProgress = () => {}, environment = process.env, lock = readLock() } = options;
  const { parts = hasDriver() ? (["cuda", "gpu"] as const) : [] } = options;
  const folder = await fetchWheels({ onProgress, environment, lock: lockOf(lock, parts) });
  const { found, tried } = locateLibTorch({ ...environment, LIBTORCH: folder });
  if (!found) {
    throw new TransferLimitsError(
      "LIBTORCH_MISSING",
      `The fetched LibTorch cannot be used. Delete ${folder} and fetch again.\n${searchReport(tried)}`,
    );
  }
  onProgress({ kind: "done", name: lock.name, folder });
  return found;
}

/**
 * Fetches the pinned CUDA compiler into the package's cache, once, and answers its folder: `bin/nvcc`, `include/`,
 * `nvvm/`. Nothing of it is needed to run what it built.
 *
 * @throws `LIBTORCH_MISSING`, as `fetchLibTorch`.
 */
export async function fetchCudaToolkit(options: FetchOptions = {}): Promise<string> {
  const { onProgress = () => {}, environment = process.env, lock = readLock("cuda-toolkit") } = options;
  const folder = await fetchWheels({ onProgress, environment, lock: lockOf(lock, []) });
  onProgress({ kind: "done", name: lock.name, folder });
  return folder;
}

/**
 * The folder with what a lock pins: pip downloads the locked wheels, from whatever index pip is set up with; their
 * SHA-256 is checked; what the lock names is unpacked into a temporary folder that then takes its name, so that it is
 * complete or absent. What is already there is not fetched again: what an older version of this package had unpacked, or a
 * wheel that an interrupted fetch had finished. Several processes may fetch at once: one works, the others wait for it.
 */
async function fetchWheels({
  onProgress,
  environment,
  lock,
}: Required<Omit<FetchOptions, "parts">>): Promise<string> {
  const folder = fetchedFolder(lock, environment);
  if (missingWheels(folder, lock).length === 0) return folder;
  requireSupportedHost(lock);
  const cache = cacheFolder(environment);
  await mkdir(cache, { recursive: true });
  await whileLocked(
    `${folder}.lock`,
    async () => {
      const wheels = missingWheels(folder, lock);
      if (wheels.length > 0) await fetchInto(folder, cache, { ...lock, wheels }, environment, onProgress);
    },
    { onWait: () => onProgress({ kind: "waiting", reason: `another process fetches ${lock.name}` }) },
  );
  return folder;
}

/** One line of plain words for an event, as a build script or a command prints it. */
export function describeFetch(event: FetchEvent): string {
  switch (event.kind) {
    case "waiting":
      return `Waiting: ${event.reason}`;
    case "download":
      return `Downloading ${event.wheel}: ${(event.bytes / 1e6).toFixed(0)} of ${(event.total / 1e6).toFixed(0)} MB`;
    case "unpack":
      return `Unpacking ${event.wheel}`;
    case "done":
      return `${event.name} is in ${event.folder}`;
  }
}

/** The wheels of which something is not in `folder`, or is there cut short. */
const missingWheels = (folder: string, lock: WheelLock): LockedWheel[] =>
  lock.wheels.filter(({ unpack }) => !unpack.every(({ to }) => isWhole(join(folder, to))));

const isWhole = (path: string): boolean =>
  existsSync(path) && (!/\.so[.\d]*$/.test(path) || faultOfLibrary(path) === null);

/** Whether a package's cache lacks something of LibTorch that this machine can use; false for a LibTorch of another place. */
export function lacksParts(
  { folder }: LibTorch,
  parts: readonly LockPart[],
  environment: NodeJS.ProcessEnv = process.env,
): boolean {
  if (environment.LIBTORCH) return false;
  const lock = lockOf(readLock(), parts);
  return folder === fetchedFolder(lock, environment) && missingWheels(folder, lock).length > 0;
}

async function fetchInto(
  folder: string,
  cache: string,
  lock: WheelLock,
  environment: NodeJS.ProcessEnv,
  onProgress: (event: FetchEvent) => void,
): Promise<void> {
  const pip = await requirePip(environment);
  await requireSpace(cache, lock);

  const downloads = join(cache, "downloads");
  await mkdir(downloads, { recursive: true });
  const wheels: { name: string; path: string; unpack: { from: string; to: string }[] }[] = [];
  for (const wheel of lock.wheels) {
    const name = `${wheel.name} ${wheel.version}`;
    const path = await downloadWheel(wheel, lock, downloads, { pip, environment }, (bytes) =>
      onProgress({ kind: "download", wheel: name, bytes, total: wheel.bytes }),
    );
    wheels.push({ name, path, unpack: wheel.unpack });
  }

  const temporary = `${folder}.${randomUUID()}.partial`;
  try {
    await mkdir(temporary);
    for (const { name, path, unpack } of wheels) {
      onProgress({ kind: "unpack", wheel: name });
      await runPython(["-c", unpackScript, path, temporary, JSON.stringify(unpack)], environment);
    }
    await writeFile(join(temporary, "build-version"), `${lock.version}+${lock.flavour}\n`);
    if (existsSync(folder)) await moveMissing(temporary, folder, lock);
    else await rename(temporary, folder);
  } catch (error) {
    // Someone whom the lock did not hold back was first: theirs is as good as ours.
    if (missingWheels(folder, lock).length > 0) throw error;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  await Promise.all(wheels.map(({ path }) => rm(path, { force: true })));
}

/** Moves what the wheels hold from one folder to another, but for what is there whole. */
async function moveMissing(from: string, to: string, { wheels }: WheelLock): Promise<void> {
  for (const part of wheels.flatMap(({ unpack }) => unpack)) {
    if (isWhole(join(to, part.to))) continue;
    await mkdir(dirname(join(to, part.to)), { recursive: true });
    await rename(join(from, part.to), join(to, part.to));
  }
}

/** Unpacks the entries that the rules name: `from` is a folder (ends in a slash) or one file. */
const unpackScript = `
import json, os, shutil, sys, zipfile
wheel, folder, rules = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with zipfile.ZipFile(wheel) as archive:
    for rule in rules:
        start, end = rule["from"], rule["to"]
        names = [n for n in archive.namelist() if n == start or (start.endswith("/") and n.startswith(start))]
        if not names:
            sys.exit(f"{wheel} holds no {start}")
        for name in names:
            inside = name[len(start):]
            if name.endswith("/") or ".." in inside.split("/"):
                continue
            target = os.path.join(folder, end + inside)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with archive.open(name) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 22)
            if archive.getinfo(name).external_attr >> 16 & 0o100:
                os.chmod(target, 0o755)
`;

/** The locked wheels are for Linux on x86-64 with glibc 2.28 or newer. */
function requireSupportedHost({ name }: WheelLock): void {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const glibc = report.header?.glibcVersionRuntime;
  const [major = 0, minor = 0] = (glibc ?? "").split(".").map(Number);
  if (process.platform === "linux" && process.arch === "x64" && major * 1000 + minor >= 2028) return;
  throw new TransferLimitsError(
    "LIBTORCH_MISSING",
    `The pinned ${name} is for Linux on x86-64 with glibc 2.28 or newer, but this is ` +
      `${process.platform} on ${process.arch}${glibc ? ` with glibc ${glibc}` : ""}.` +
      (name === "LibTorch" ? " Set LIBTORCH to a LibTorch that was built for this machine." : ""),
  );
}

async function requireSpace(cache: string, lock: WheelLock): Promise<void> {
  const wheels = lock.wheels.reduce((sum, wheel) => sum + wheel.bytes, 0);
  const parts = new Set(lock.wheels.flatMap(({ unpack }) => unpack.map(({ part }) => part ?? "always")));
  const needed = [...parts].reduce((sum, part) => sum + (lock.unpackedBytes[part] ?? 0), wheels);
  const { bavail, bsize } = await statfs(cache);
  if (bavail * bsize >= needed) return;
  throw new TransferLimitsError(
    "LIBTORCH_MISSING",
    `${lock.name} needs ${(needed / 1e9).toFixed(1)} GB in ${cache} while it is fetched, but ` +
      `${((bavail * bsize) / 1e9).toFixed(1)} GB are free. Make space, or set XDG_CACHE_HOME to a folder on a larger disk.`,
  );
}
