import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { writeFileAtomically } from "./atomic-file.js";
import { TransferLimitsError } from "./errors.js";
import { openRegularFile, readRegularText } from "./regular-file.js";

/** SHA-256 of a text in UTF-8, as hexadecimal digits. */
export const sha256OfText = (text: string): string => createHash("sha256").update(text).digest("hex");

/**
 * SHA-256 of a file, as hexadecimal digits, in little memory.
 *
 * @throws as `openRegularFile`
 */
export async function sha256OfFile(path: string): Promise<string> {
  const { file, size } = await openRegularFile(path);
  try {
    const hash = createHash("sha256");
    // Pieces so small that what else runs need not wait for them, one after the other in the same memory.
    const piece = Buffer.allocUnsafeSlow(Math.min(1 << 19, size + 1));
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, piece.length);
      if (bytesRead === 0) return hash.digest("hex");
      hash.update(piece.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** The file that names the checksums of all others of its folder, as `sha256sum --check` reads it. */
export const checksumsFile = "SHA256SUMS";

/** Writes the checksums of all files of a folder into it. */
export async function writeChecksums(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name !== checksumsFile).sort();
  const lines = [`# ${names.length} files`];
  for (const name of names) lines.push(`${await sha256OfFile(join(folder, name))}  ${name}`);
  await writeFileAtomically(join(folder, checksumsFile), `${lines.join("\n")}\n`);
}

/** The checksums that a folder's `SHA256SUMS` names; null where it is missing or not whole. */
export async function readChecksums(folder: string): Promise<Map<string, string> | null> {
  const text = await textOf(join(folder, checksumsFile));
  const [head = "", ...lines] = (text ?? "").split("\n");
  const files = new Map<string, string>();
  for (const line of lines) {
    const [, checksum, name] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? [];
    if (checksum !== undefined && name !== undefined) files.set(name, checksum);
  }
  return text?.endsWith("\n") && head === `# ${files.size} files` ? files : null;
}

/**
 * Why a folder does not hold what was written into it; null where it does. Files that `SHA256SUMS` does not name are
 * somebody else's.
 *
 * @param passedOver names of files that are not looked at
 */
export async function damageOf(folder: string, passedOver: RegExp): Promise<string | null> {
  const files = await readChecksums(folder);
  if (files === null) return `${checksumsFile} is missing or damaged`;
  return firstDamage(
    folder,
    [...files].filter(([name]) => !passedOver.test(name)),
  );
}

/** What is wrong with the first of a folder's files that is not what was written; null where all are. */
export async function firstDamage(
  folder: string,
  files: Iterable<readonly [name: string, checksum: string]>,
): Promise<string | null> {
  for (const [name, written] of files) {
    const now = await checksumOf(join(folder, name));
    if (now === null) return `${name} is missing`;
    if (now !== written) return `${name} is not what was written: its checksum differs`;
  }
  return null;
}

/**
 * Refuses a file that is no longer what the `SHA256SUMS` beside it says. A file that no such list of ours names passes.
 *
 * @param now its checksum, where that is known already
 * @throws `BAD_CHECKPOINT`
 */
export async function refuseDamaged(path: string, now?: string): Promise<void> {
  const written = (await readChecksums(dirname(path)))?.get(basename(path));
  if (written === undefined || written === (now ?? (await sha256OfFile(path)))) return;
  throw new TransferLimitsError(
    "BAD_CHECKPOINT",
    `${path} is damaged, or was changed: its SHA-256 is not the one in the ${checksumsFile} beside it. Run the study that it ` +
      "belongs to again, which computes anew what is damaged",
  );
}

/** Writes the checksum of a complete file beside it, as `sha256sum` does. */
export const sealFile = async (path: string): Promise<void> =>
  writeFileAtomically(sealOf(path), `${await sha256OfFile(path)}  ${basename(path)}\n`);

/** Whether a file is what it was when it was sealed: "absent" also where it never was, or the seal is missing. */
export async function stateOfSealed(path: string): Promise<"sound" | "absent" | "damaged"> {
  const seal = await textOf(sealOf(path));
  const now = seal === null ? null : await checksumOf(path);
  if (now === null) return "absent";
  return seal === `${now}  ${basename(path)}\n` ? "sound" : "damaged";
}

const sealOf = (path: string): string => `${path}.sha256`;

const orAbsent = (error: NodeJS.ErrnoException): null => {
  if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
  throw error;
};

const textOf = (path: string): Promise<string | null> => readRegularText(path).catch(orAbsent);

const checksumOf = (path: string): Promise<string | null> => sha256OfFile(path).catch(orAbsent);
