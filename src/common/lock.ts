import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readdir, rm, unlink } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { describe, TransferLimitsError, throwIfAborted } from "./errors.js";
import { type Place, placeSchema, startOf, stateOfProcess, thisPlace } from "./process-identity.js";
import { readRegularText } from "./regular-file.js";

/*
 * A lock is a folder in which holders follow each other by number: `1`, `2`, `3`, ... The highest number holds it.
 *
 *   - To take it is to create the next number, exclusively: of any who try at once, exactly one does.
 *   - A number's file names host, process and start of its holder, and a counter that the holder raises every few seconds.
 *   - To give it back is to create the next number too, with the word that nobody holds it.
 *   - Whoever was passed over (frozen, or cut off from the disk, for too long) sees a number above its own.
 *   - The highest number is never removed. So who creates a lower one, whose file was tidied away in the meantime, sees
 *     after that that it holds nothing.
 *
 * The next number may be created when the highest says that nobody holds it; when it names a process of this host (same
 * start of the machine, same name space of process ids) that is no more; or when its counter did not change for longer than
 * it stated, by the clock of the one who watches, which nobody sets. No date of any file and no clock of another host is
 * asked. Of the file system nothing is asked but that one of several who create a file exclusively does so: no hard links,
 * no renames, and no locks of its own.
 */

/** How often a holder gives a sign of life, and after how long without one it counts as dead; in milliseconds. */
export interface LockTiming {
  beatEvery: number;
  deadAfter: number;
}

/** The shortest time after which a holder may say that it counts as dead, in seconds. */
const leastSeconds = 1;

/** As `TRANSFER_LIMITS_DEAD_AFTER` says, in seconds; one minute where it says nothing. */
export function lockTiming(environment: NodeJS.ProcessEnv = process.env): LockTiming {
  const given = environment.TRANSFER_LIMITS_DEAD_AFTER;
  const seconds = given === undefined || given === "" ? 60 : Number(given);
  if (!(seconds >= leastSeconds && seconds <= 86_400)) {
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `Expected a number of seconds from ${leastSeconds} to 86400 for the environment variable ` +
        `TRANSFER_LIMITS_DEAD_AFTER but received ${describe(given)}`,
    );
  }
  return { beatEvery: (seconds * 1000) / 12, deadAfter: seconds * 1000 };
}

const ownerSchema = placeSchema.extend({
  pid: z.int().positive(),
  started: z.string().max(100),
  /** After how many milliseconds without a sign of life it counts as dead. */
  deadAfter: z.number().positive(),
});
type Owner = z.infer<typeof ownerSchema>;

/** What a number's file says once its holder has given the lock back. */
const givenBack = '{"held":false}\n';

/** No owner has a longer description. */
const mostBytes = 64 * 1024;

/** Who holds a lock, as far as one who watches can tell. */
export interface Holder {
  /** Null where it has not said yet, or what it said cannot be read. */
  owner: Owner | null;
  /** Whether it gave a sign of life since it is watched. */
  isAlive: boolean;
  /** For so long it gave none, in milliseconds. */
  quietFor: number;
}

/** A process in words, with its host where that is another one. */
export async function holderInWords({ owner }: Holder): Promise<string> {
  if (owner === null) return "A process that has not said its name";
  const here = await thisPlace();
  if (owner.host !== here.host) return `Process ${owner.pid} on ${describe(owner.host)}`;
  const elsewhere = owner.boot !== here.boot || owner.namespace !== here.namespace;
  return `Process ${owner.pid}${elsewhere ? " in another container" : ""}`;
}

/** What a watcher read of the highest number, since when it says that, and whether it was seen to change. */
interface Seen {
  turn: number;
  text: string;
  since: number;
  changed: boolean;
}

/** Watches a lock, and takes it once nobody holds it. */
export class LockWatch {
  #seen: Seen | null = null;

  constructor(
    readonly path: string,
    private readonly timing: LockTiming = lockTiming(),
  ) {}

  /** The lock; or who holds it now, after which it is asked again a little later. */
  async take(): Promise<Lock | Holder> {
    for (;;) {
      await makeLockFolder(this.path);
      const last = await lastTurn(this.path);
      const state = last === 0 ? "free" : await this.#stateOf(last);
      if (state === "passed") {
        await sleep(5); // somebody came after it, and it was tidied away
        continue;
      }
      if (state !== "free") return state;
      const lock = await Lock.begin(this.path, last + 1, this.timing);
      if (lock !== null) return lock;
    }
  }

  async #stateOf(turn: number): Promise<"free" | "passed" | Holder> {
    const asked = performance.now();
    const text = await textOf(join(this.path, String(turn)));
    if (text === null) return "passed";
    if (text === givenBack) return "free";
    const before = this.#seen?.turn === turn ? this.#seen : null;
    // A description that is complete now was no sign of life before.
    const changed = before !== null && (before.changed || ownerIn(before.text) !== null);
    const now = before?.text === text ? before : { turn, text, since: performance.now(), changed };
    this.#seen = now;
    const { since } = now;
    const owner = ownerIn(text);
    const quietFor = Math.max(0, asked - since);
    if (owner !== null && (await stateOfProcess(owner, await here())) === "dead") return "free";
    if (quietFor >= (owner?.deadAfter ?? this.timing.deadAfter)) return "free";
    return { owner, isAlive: now.changed, quietFor };
  }
}

/** A lock that this process holds, or held until somebody took it over. */
export class Lock {
  readonly #lost = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #beats = 0;
  #beating: Promise<void> = Promise.resolve();

  private constructor(
    readonly path: string,
    /** Its number among those who held the lock. */
    readonly turn: number,
    /** The part of its file before the counter. */
    private readonly head: string,
    { beatEvery }: LockTiming,
  ) {
    this.#timer = setInterval(() => {
      this.#beating = this.#beat().catch(() => {}); // an error of the disk: the next may reach it
    }, beatEvery).unref();
  }

  /** Creates a number. Null where somebody else has done so, or has gone on to higher ones. */
  static async begin(path: string, turn: number, timing: LockTiming): Promise<Lock | null> {
    const owner: Owner = {
      ...(await here()),
      pid: process.pid,
      started: (await startOf(process.pid)) ?? "unknown",
      deadAfter: timing.deadAfter,
    };
    const head = `${JSON.stringify(owner)}\n${randomUUID()} `;
    if (!(await create(path, turn, head + counterOf(0)))) return null;
    if ((await lastTurn(path)) !== turn) {
      await rm(join(path, String(turn)), { force: true });
      return null;
    }
    await removeBelow(path, turn - 1);
    return new Lock(path, turn, head, timing);
  }

  /** Aborted once it is known that the lock was lost. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Asks the disk whether this process still holds the lock. @throws `TAKEN_OVER` where it does not */
  async requireHeld(): Promise<void> {
    if (!this.#lost.signal.aborted && !(await this.#isHeld())) this.#lose();
    if (this.#lost.signal.aborted) throw this.#lost.signal.reason;
  }

  /** Whether its number is the highest, and its own: somebody may have removed the folder by hand. */
  async #isHeld(): Promise<boolean> {
    if ((await lastTurn(this.path)) !== this.turn) return false;
    return (await textOf(join(this.path, String(this.turn))))?.startsWith(this.head) ?? false;
  }

  /** Gives the lock back; nothing where another has it. */
  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    if (this.#lost.signal.aborted) return;
    if (await create(this.path, this.turn + 1, givenBack)) await removeBelow(this.path, this.turn + 1);
  }

  async #beat(): Promise<void> {
    let file: FileHandle;
    try {
      // It must not come into being anew.
      file = await open(join(this.path, String(this.turn)), constants.O_WRONLY);
    } catch (error) {
      if (isAbsent(error)) return this.#lose();
      throw error;
    }
    try {
      const position = Buffer.byteLength(this.head);
      await file.write(counterOf(++this.#beats), position);
      await file.sync();
    } finally {
      await file.close();
    }
    await this.requireHeld().catch(() => {});
  }

  #lose(): void {
    clearInterval(this.#timer);
    if (this.#lost.signal.aborted) return;
    this.#lost.abort(
      new TransferLimitsError(
        "TAKEN_OVER",
        `Another process has taken over ${this.path}, as this one gave no sign of life for too long (it was stopped, or ` +
          "cut off from the disk). It writes nothing more",
      ),
    );
  }
}

export interface TakeOptions {
  timing?: LockTiming;
  /** What is locked, for the message of the refusal; left out, the lock's path. */
  what?: string;
  /** Told once who is waited for. Without it, a holder that lives is not waited for. */
  onWait?: (holder: Holder) => void;
  signal?: AbortSignal;
}

/**
 * Takes a lock. One whose holder gives no sign of life is taken over, which takes as long as that holder stated; one
 * whose holder lives is waited for, or not.
 *
 * @throws `BUSY` naming the holder; `ABORTED`
 */
export async function takeLock(path: string, options: TakeOptions = {}): Promise<Lock> {
  const { timing = lockTiming(), what = path, onWait, signal } = options;
  const watch = new LockWatch(path, timing);
  for (let looks = 0; ; looks++) {
    throwIfAborted(signal);
    const found = await watch.take();
    if (found instanceof Lock) return found;
    if (looks === 0) onWait?.(found);
    if (found.isAlive && onWait === undefined)
      throw new TransferLimitsError("BUSY", `${await holderInWords(found)} already works in ${what}.`);
    await sleep(Math.min(onWait ? 2000 : 250, 20 * 1.5 ** Math.min(looks, 20), timing.deadAfter / 10));
  }
}

/** Does work while this process holds a lock. An error of the work is told before one of giving it back. */
export async function whileLocked<T>(
  path: string,
  work: (lock: Lock) => Promise<T>,
  options: TakeOptions = {},
): Promise<T> {
  const lock = await takeLock(path, options);
  let result: T;
  try {
    result = await work(lock);
  } catch (error) {
    await lock.release().catch(() => {}); // the lock of a process that has ended holds nobody up
    throw error;
  }
  await lock.release();
  return result;
}

let known: Promise<Place> | undefined;
const here = (): Promise<Place> => {
  known ??= thisPlace();
  return known;
};

const counterOf = (beats: number): string => `${String(beats).padStart(12, "0")}\n`;

const codeOf = (error: unknown): string => String((error as { code?: unknown }).code);
const isAbsent = (error: unknown): boolean => ["ENOENT", "ENOTDIR", "ESTALE"].includes(codeOf(error));

/** Makes a lock's folder where there is none. What else lies in its place is no lock, and makes way; a folder never does. */
async function makeLockFolder(path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await mkdir(path);
    } catch (error) {
      if (codeOf(error) !== "EEXIST" || tries > 10) throw error;
    }
    const status = await lstat(path).catch(() => null);
    if (status?.isDirectory()) return;
    await unlink(path).catch(() => {}); // it refuses folders: another one's new lock stays
  }
}

/** The highest number in a lock's folder; 0 where there is none. */
async function lastTurn(path: string): Promise<number> {
  try {
    return Math.max(0, ...(await turnsIn(path)));
  } catch (error) {
    if (isAbsent(error)) return 0;
    throw error;
  }
}

const turnsIn = async (path: string): Promise<number[]> =>
  (await readdir(path)).filter((name) => /^[1-9]\d{0,14}$/.test(name)).map(Number);

/** Creates a number with its contents; false where it was there already. */
async function create(path: string, turn: number, contents: string): Promise<boolean> {
  let file: FileHandle;
  try {
    file = await open(join(path, String(turn)), "wx");
  } catch (error) {
    if (codeOf(error) === "EEXIST" || isAbsent(error)) return false;
    throw error;
  }
  try {
    await file.writeFile(contents);
    await file.sync();
  } finally {
    await file.close();
  }
  return true;
}

/** Tidies away who held the lock before. */
async function removeBelow(path: string, turn: number): Promise<void> {
  for (const older of await turnsIn(path).catch(() => []))
    if (older < turn) await rm(join(path, String(older)), { force: true, recursive: true }).catch(() => {});
}

/** Null where it is not there. What cannot be read as a holder's words is told as it is: it counts as one without a name. */
async function textOf(path: string): Promise<string | null> {
  try {
    return await readRegularText(path, mostBytes);
  } catch (error) {
    if (isAbsent(error)) return null;
    if (codeOf(error) === "BAD_FILE" || codeOf(error) === "ELOOP") return "";
    throw error;
  }
}

function ownerIn(text: string): Owner | null {
  const [first = "", second = ""] = text.split("\n", 2);
  if (second === "") return null;
  try {
    return ownerSchema.parse(JSON.parse(first));
  } catch {
    return null;
  }
}
