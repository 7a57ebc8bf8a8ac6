import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sha256OfFile } from "../../common/checksums.js";
import { TransferLimitsError } from "../../common/errors.js";
import type { LockedWheel, WheelLock } from "./lock.js";
import { pipTarget } from "./pip-target.js";
import { lastLines, run } from "./python.js";
import { resumeDownload } from "./resumed-download.js";

export interface Pip {
  /** [major, minor] */
  pip: [number, number];
  environment: NodeJS.ProcessEnv;
}

/**
 * The path of a locked wheel in `downloads`: the one that lies there already, when its SHA-256 is the locked one, or
 * else downloaded; an earlier download that broke off is gone on with. A wheel takes its name only once it is whole and
 * checked.
 */
export async function downloadWheel(
  wheel: LockedWheel,
  lock: WheelLock,
  downloads: string,
  pip: Pip,
  onBytes: (bytes: number) => void,
): Promise<string> {
  const target = join(downloads, `${wheel.name}-${wheel.version}-${wheel.sha256.slice(0, 16)}.whl`);
  if ((await digestOf(target)) === wheel.sha256) return target;
  await rm(target, { force: true });

  const begun = `${target}.begun`;
  const workshop = join(downloads, `.${randomUUID()}.partial`);
  await mkdir(join(workshop, "temporary"), { recursive: true });
  const ticker = setInterval(() => {
    Promise.all([sizeOf(workshop), sizeOf(begun)]).then(
      (sizes) => onBytes(Math.min(Math.max(...sizes), wheel.bytes - 1)),
      () => {},
    );
  }, 1000);
  try {
    const path = (await goOn(wheel, lock, begun, pip.environment))
      ? begun
      : await download(wheel, lock, workshop, pip);
    const digest = await digestOf(path);
    if (digest !== wheel.sha256) {
      await rm(begun, { force: true });
      throw new TransferLimitsError(
        "LIBTORCH_MISSING",
        `The wheel of ${wheel.name} ${wheel.version} that the index has is not the locked one: expected SHA-256 ` +
          `${wheel.sha256} but it has ${digest ?? "no file"}. Nothing of it was used.`,
      );
    }
    await rename(path, target);
    onBytes(wheel.bytes);
    return target;
  } finally {
    clearInterval(ticker);
    await rm(workshop, { recursive: true, force: true });
  }
}

/** Whether `begun` is now the whole wheel; false where pip must bring it. */
async function goOn(
  wheel: LockedWheel,
  lock: WheelLock,
  begun: string,
  environment: NodeJS.ProcessEnv,
): Promise<boolean> {
  const resumed = await resumeDownload(wheel, lock, begun, environment);
  if (resumed.kind !== "failed") return resumed.kind === "done";
  const bytes = await sizeOf(begun);
  throw notDownloaded(
    wheel,
    lock,
    `: ${resumed.reason}\n${bytes} of ${wheel.bytes} bytes were brought, and are kept.`,
  );
}

/**
 * One wheel into `workshop/wheels`, by name, version, tags and hash, whatever Python runs pip. pip keeps its own
 * temporary files in the workshop too: the system's folder for them may be too small for a wheel.
 */
async function download(
  wheel: LockedWheel,
  lock: WheelLock,
  workshop: string,
  { pip, environment }: Pip,
): Promise<string> {
  const requirements = join(workshop, "requirements.txt");
  await writeFile(requirements, `${wheel.name}==${wheel.version} --hash=sha256:${wheel.sha256}\n`);
  const resumes = pip[0] > 25 || (pip[0] === 25 && pip[1] >= 1);
  const { code, stderr } = await run(
    "python3",
    [
      ...["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir"],
      ...["--retries", "5", ...(resumes ? ["--resume-retries", "20"] : [])],
      ...["--require-hashes", ...pipTarget(lock)],
      ...["--dest", join(workshop, "wheels"), "--requirement", requirements],
    ],
    { ...environment, TMPDIR: join(workshop, "temporary") },
  );
  if (code !== 0) throw notDownloaded(wheel, lock, ` (exit status ${code}):\n${lastLines(stderr)}`);
  const files = (await readdir(join(workshop, "wheels"))).filter((name) => name.endsWith(".whl"));
  return join(workshop, "wheels", files[0] ?? "missing.whl");
}

const notDownloaded = (wheel: LockedWheel, lock: WheelLock, reason: string): TransferLimitsError =>
  new TransferLimitsError(
    "LIBTORCH_MISSING",
    `pip could not download ${wheel.name} ${wheel.version}${reason}\n` +
      "Check the network and pip's index settings (python3 -m pip config list), then run this again: it goes on where it " +
      `stood.${lock.name === "LibTorch" ? " Without a network, set LIBTORCH to an unpacked LibTorch." : ""}`,
  );

/** SHA-256 of a wheel; null where it is not there. */
const digestOf = (path: string): Promise<string | null> =>
  sha256OfFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });

/** Bytes of a file, or of the largest file under a folder: the wheel that is being written. */
async function sizeOf(path: string): Promise<number> {
  const facts = await stat(path).catch(() => null);
  if (!facts?.isDirectory()) return facts?.size ?? 0;
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async (file) => (await stat(join(file.parentPath, file.name))).size),
  );
  return Math.max(0, ...sizes);
}
