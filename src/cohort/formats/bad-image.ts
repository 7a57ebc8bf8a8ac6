import { messageOf, TransferLimitsError } from "../../common/errors.js";

/** The refusal of an image file: every one names the file and says why. */
export function badImage(path: string, reason: string, cause?: unknown): TransferLimitsError {
  return new TransferLimitsError("BAD_IMAGE", `Cannot read the image ${path}: ${reason}`, { cause });
}

/** What the file system says about a file that cannot be opened, without its own repetition of the path. */
export function fileSystemReason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ENOENT" || code === "ENOTDIR") return "there is no such file";
  if (code === "EACCES" || code === "EPERM") return "this user may not read it";
  return messageOf(error);
}
