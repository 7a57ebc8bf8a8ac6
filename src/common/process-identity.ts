import { createHash } from "node:crypto";
import { readlink } from "node:fs/promises";
import { hostname } from "node:os";
import { z } from "zod";
import { readRegularText } from "./regular-file.js";

/** Where a process id means something: processes of two containers can have one id, and one host name. */
export const placeSchema = z.object({
  host: z.string().max(1000),
  /** The machine, whatever it is called and however often it was started: a hash of its id. */
  machine: z.string().max(100).optional(),
  /** This start of the machine. Absent in what says nothing but the host's name. */
  boot: z.string().max(100).optional(),
  /** The name space of process ids. */
  namespace: z.string().max(100).optional(),
});
export type Place = z.infer<typeof placeSchema>;

/** The name space that a machine starts with has this number on every Linux. */
const initialNamespace = "pid:[4026531836]";

/** Where this process runs. */
export async function thisPlace(): Promise<Place> {
  const [machine, boot, namespace] = await Promise.all([
    textOf("/etc/machine-id"),
    textOf("/proc/sys/kernel/random/boot_id"),
    readlink("/proc/self/ns/pid").catch(() => undefined),
  ]);
  return {
    host: hostname(),
    ...(machine ? { machine: createHash("sha256").update(`transfer-limits ${machine}`).digest("hex") } : {}),
    ...(boot ? { boot } : {}),
    ...(namespace ? { namespace } : {}),
  };
}

/** The same place in few characters, for the name of a file. */
export const placeHash = (place: Place): string =>
  createHash("sha256")
    .update(JSON.stringify([place.host, place.machine, place.boot, place.namespace]))
    .digest("hex")
    .slice(0, 16);

/**
 * Whether a process lives that was started somewhere, as far as that can be known here: of a process on another host, or
 * in another name space of process ids, it cannot be, unless it ended with the machine that both ran on.
 *
 * @param started what `startOf` said of it
 */
export async function stateOfProcess(
  { pid, started, ...place }: Place & { pid: number; started: string },
  here: Place,
): Promise<"alive" | "dead" | "unknown"> {
  const visible =
    place.boot === undefined
      ? place.host === here.host
      : place.boot === here.boot && place.namespace === here.namespace;
  if (visible) return (await lives(pid, started)) ? "alive" : "dead";
  const restarted =
    place.boot !== here.boot &&
    place.machine !== undefined &&
    place.machine === here.machine &&
    place.namespace === initialNamespace &&
    here.namespace === initialNamespace;
  return restarted ? "dead" : "unknown";
}

/** Whether the process lives that has this id and was started then (`startOf`): ids are used again. */
export async function lives(pid: number, started: string): Promise<boolean> {
  const now = await startOf(pid);
  return now !== null && (now === started || now === hidden);
}

/** Said of a process that is there, of which no more is known. */
const hidden = "unknown";

/** When a process was started, in the kernel's ticks since boot; null where there is none, "unknown" where it is hidden. */
export async function startOf(pid: number): Promise<string | null> {
  const text = await textOf(`/proc/${pid}/stat`);
  if (text === undefined) return exists(pid) ? hidden : null;
  // The name of the program, in parentheses, may hold anything; the state follows as field 3, the start is field 22.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? null : (fields[19] ?? null);
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0); // no signal: it only looks
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

const textOf = (path: string): Promise<string | undefined> =>
  readRegularText(path, 64 * 1024).then(
    (text) => text.trim() || undefined,
    () => undefined,
  );
