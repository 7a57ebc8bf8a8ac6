import { type ErrorCode, TransferLimitsError } from "./errors.js";

/** With what a study needs less memory. */
export const lessMemory =
  "fewer jobs (execution.jobs), a smaller training.microBatch, execution.checkpointing: true, or fewer voxels " +
  "(cohort.voxels)";

/** What to do about it, wherever it happens. */
const cures = {
  DISK_FULL: "Free some space there (or of your quota); running the same again goes on from where it stopped",
  OUT_OF_MEMORY: `Less is needed with ${lessMemory}`,
  BAD_FILE: null,
} as const satisfies Partial<Record<ErrorCode, string | null>>;

type SystemCode = keyof typeof cures;

/**
 * Gives a code to what the system refused, which Node throws as errors without one of ours: a full disk, memory that is
 * exhausted, a file or folder that cannot be opened or written. Anything else comes back as it is.
 *
 * @param path the file that was worked on, which Node does not always say
 */
export function codedError(error: unknown, path?: string): unknown {
  if (!(error instanceof Error) || error instanceof TransferLimitsError) return error;
  const code = codeOf(error);
  if (code === null) return error;
  const named = path === undefined || error.message.includes(path) ? "" : `${path}: `;
  const cure = cures[code];
  return new TransferLimitsError(code, `${named}${error.message}${cure === null ? "" : `. ${cure}`}`, {
    cause: error,
  });
}

/** What is thrown where so many bytes are asked for that no machine can hold, or this one cannot. */
export const outOfMemory = (what: string): TransferLimitsError =>
  new TransferLimitsError("OUT_OF_MEMORY", `${what}. ${cures.OUT_OF_MEMORY}`);

/** Does work, and gives a code to what the system refused. */
export async function withCodedErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw codedError(error);
  }
}

/** Words by which V8, the C++ library, OpenMP and LibTorch say that there is no memory left, as they end a process. */
export const saysOutOfMemory = (words: string): boolean =>
  /heap out of memory|Reached heap limit|Array buffer allocation failed|bad_alloc|ENOMEM|Cannot allocate memory|out of memory|Thread creation failed/i.test(
    words,
  );

function codeOf(error: Error): SystemCode | null {
  const { code, syscall } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return "DISK_FULL";
    case "ENOMEM":
    case "ERR_MEMORY_ALLOCATION_FAILED":
    case "ERR_WORKER_OUT_OF_MEMORY":
      return "OUT_OF_MEMORY";
    case undefined:
      return error instanceof RangeError && saysOutOfMemory(error.message) ? "OUT_OF_MEMORY" : null;
    default:
      return syscall !== undefined && fileCalls.has(syscall) ? "BAD_FILE" : null;
  }
}

/** The system's calls on files and folders, as Node names them. */
const fileCalls = new Set(
  (
    "access chmod close copyfile fchmod fdatasync fstat fsync ftruncate futime link lstat mkdir mkdtemp open opendir " +
    "read readdir readlink realpath rename rm rmdir scandir stat statfs symlink truncate unlink utime write"
  ).split(" "),
);
