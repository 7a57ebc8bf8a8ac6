import { lstat, readlink } from "node:fs/promises";
import { basename } from "node:path";
import { messageOf, TransferLimitsError } from "../../common/errors.js";

/** The refusal of an image file: every one names the file and says why. */
export function badImage(path: string, reason: string, cause?: unknown): TransferLimitsError {
  return new TransferLimitsError("BAD_IMAGE", `Cannot read the image ${path}: ${reason}`, { cause });
}

/** What the file system says about a file that cannot be opened, without its own repetition of the path. */
export function fileSystemReason(error: unknown): string {
  const code = codeOf(error);
  if (code === "ENOENT" || code === "ENOTDIR") return "there is no such file";
  if (code === "EACCES" || code === "EPERM") return "this user may not read it";
  if (code === "ENAMETOOLONG") return "its name is too long";
  if (code === "ELOOP") return "its links lead in a circle";
  return messageOf(error);
}

/** As `fileSystemReason`; of a link that leads nowhere it says where it should lead, and how to mend it. */
export async function reasonNotOpened(path: string, error: unknown): Promise<string> {
  if (codeOf(error) !== "ENOENT") return fileSystemReason(error);
  const target = await linkTarget(path);
  if (target === null) return fileSystemReason(error);
  if (isAnnexed(target))
    return `it is a link of git-annex (DataLad) to content that is not here yet; get it: ${fetching(path)}`;
  return `it is a link to ${target}, which does not exist`;
}

/** What a link says that it leads to; null for what is no link. */
async function linkTarget(path: string): Promise<string | null> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : null;
  } catch {
    return null;
  }
}

/** Whether a path lies where git-annex keeps the content of files. */
export const isAnnexed = (path: string): boolean => /(?:^|\/)annex\/objects\//.test(path);

const fetching = (path: string) => `datalad get ${basename(path)}, or git annex get ${basename(path)}`;

/** Of a file that stands in place of content that was not fetched: what it is, and how to fetch it; null of any other. */
export function pointerReason(path: string, start: Buffer): string | null {
  const text = start.toString("latin1", 0, 64);
  if (/^\/annex\/objects\/\S/.test(text))
    return `it is a pointer of git-annex (DataLad) to content that is not here yet; get it: ${fetching(path)}`;
  if (text.startsWith("version https://git-lfs.github.com/spec/"))
    return `it is a pointer of Git LFS to content that is not here yet; get it: git lfs pull --include ${basename(path)}`;
  return null;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
