/**
 * Stable error codes. A script may switch on them; their meaning never changes.
 *
 * - `BAD_INPUT`: an argument of a function has the wrong type, shape or range.
 * - `BAD_CONFIG`: a study file, or an option of a command, is wrong.
 * - `BAD_MANIFEST`: a cohort's manifest is wrong.
 * - `BAD_IMAGE`: an image file cannot be read, or says something impossible.
 * - `BAD_CHECKPOINT`: a file of weights cannot be read, or does not fit the network.
 * - `BAD_FILE`: a file or a folder cannot be opened, read or written: it is no regular file, or access is denied.
 * - `DISK_FULL`: no space, or no more of a quota, is left on the disk that is written to. Running again goes on.
 * - `OUT_OF_MEMORY`: the machine, a GPU, or the limit of a process has no memory left for the work; the message says how
 *   much was asked for and how much was free, where the allocator tells.
 * - `UNSOUND_ENCODER`: a pretrained encoder's weights did not load, or its features collapsed or exploded.
 * - `NOT_FINITE`: a network answers with numbers that are infinite or not numbers (NaN).
 * - `LIBTORCH_MISSING`: LibTorch, or the compiled addon, was not found or does not fit.
 * - `DISPOSED`: a tensor or a network is used after it was disposed.
 * - `ABORTED`: work was stopped by an `AbortSignal`.
 * - `BUSY`: another process works in the same study folder.
 * - `TAKEN_OVER`: another process has taken this one's work over, as it gave no sign of life for too long.
 * - `NOT_READY`: what the work starts from is not there yet; the message says what to run first.
 * - `SLURM`: Slurm is not here, does not answer, or refused a job; the message carries its own words.
 * - `RANK_DIED`: of several processes that train one network together, one ended or could not be reached. Running again goes
 *   on from the last epoch.
 * - `WORKER_DIED`: a worker process ended without a result.
 * - `INTERNAL`: a mistake of ours, or of LibTorch; please report it.
 */
export type ErrorCode =
  | "BAD_INPUT"
  | "BAD_CONFIG"
  | "BAD_MANIFEST"
  | "BAD_IMAGE"
  | "BAD_CHECKPOINT"
  | "BAD_FILE"
  | "DISK_FULL"
  | "OUT_OF_MEMORY"
  | "UNSOUND_ENCODER"
  | "NOT_FINITE"
  | "LIBTORCH_MISSING"
  | "DISPOSED"
  | "ABORTED"
  | "BUSY"
  | "TAKEN_OVER"
  | "NOT_READY"
  | "SLURM"
  | "RANK_DIED"
  | "WORKER_DIED"
  | "INTERNAL";

/** The one error class of this package: a stable `code` and a message that says how to mend it. */
export class TransferLimitsError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(bounded(message), options);
    this.name = "TransferLimitsError";
    this.code = code;
  }
}

/** `Expected X for name but received Y`, the shape of every message about an argument. */
export function expected(what: string, name: string, received: unknown): TransferLimitsError {
  return new TransferLimitsError(
    "BAD_INPUT",
    `Expected ${what} for ${name} but received ${describe(received)}`,
  );
}

/** A short, safe rendering of any value for an error message. */
export function describe(value: unknown): string {
  return describeWithin(value, 3);
}

/** `depth`: how many arrays within arrays are spelt out, which may hold themselves. */
function describeWithin(value: unknown, depth: number): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
  if (typeof value === "number" || typeof value === "boolean" || value === null || value === undefined)
    return String(value);
  if (typeof value === "object") {
    try {
      return Array.isArray(value) ? describeArray(value, depth) : describeObject(value);
    } catch {
      return "an object that cannot be looked at";
    }
  }
  return `a ${typeof value}`;
}

function describeArray(value: readonly unknown[], depth: number): string {
  if (depth === 0) return `an array of length ${value.length}`;
  const first = value.slice(0, 8).map((item) => describeWithin(item, depth - 1));
  const text = `[${first.join(", ")}${value.length > 8 ? ", ..." : ""}]`;
  return text.length > 120 ? `an array of length ${value.length}` : text;
}

function describeObject(value: object): string {
  const { name } = (value.constructor ?? Object) as { name?: unknown };
  const type = typeof name === "string" && name !== "" ? name.slice(0, 80) : "Object";
  if (ArrayBuffer.isView(value) && "length" in value) return `a ${type} of length ${value.length}`;
  return `an object of type ${type}`;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** More of a message nobody reads; what holds a file's content, or lists without end, is cut in its middle. */
const longestMessage = 8000;

/** A message of a length that fits a screen, a log and a result. */
export function bounded(message: string, most: number = longestMessage): string {
  if (message.length <= most) return message;
  const half = Math.floor(most / 2);
  const left = message.length - 2 * half;
  return `${message.slice(0, half)} [... ${left} characters left out ...] ${message.slice(-half)}`;
}

/** Throws `ABORTED` once `signal` has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new TransferLimitsError("ABORTED", "The work was stopped before it was finished");
}
