import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { LockTiming } from "../dist/common/lock.js";

/** A process of its own that takes locks when it is told to. */
export interface Contender {
  readonly pid: number;
  /** Asks for a lock: true where it got it, otherwise the code of the refusal. */
  lock(path: string, timing?: LockTiming): Promise<true | string>;
  unlock(): Promise<void>;
  /** Whether it still holds the lock that it took; otherwise the code of the refusal. */
  isHeld(): Promise<true | string>;
  /** What it takes for its host's name. */
  host(): Promise<string>;
  signal(name: "SIGSTOP" | "SIGCONT"): void;
  /** Ends it as a crash does: nothing is given back. */
  kill(): Promise<void>;
}

const program = fileURLToPath(new URL("lock-contender-process.js", import.meta.url));

/** @param inside a command that runs another one, such as `unshare` with options */
export function startContender(inside: readonly string[] = []): Contender {
  const words = [...inside, process.execPath, program];
  const child: ChildProcess = spawn(words[0] as string, words.slice(1), {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const ask = async (message: object): Promise<unknown> => {
    child.send(message);
    return (await once(child, "message"))[0];
  };
  return {
    pid: child.pid as number,
    lock: (path, timing) => ask({ lock: path, timing }) as Promise<true | string>,
    unlock: async () => void (await ask({ unlock: true })),
    isHeld: () => ask({ isHeld: true }) as Promise<true | string>,
    host: () => ask({ host: true }) as Promise<string>,
    signal: (name) => process.kill(child.pid as number, name),
    kill: async () => {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Whether somebody holds a lock, or died while holding it. */
export async function isHeld(path: string): Promise<boolean> {
  const turns = (await readdir(path)).map(Number);
  return (await readFile(join(path, String(Math.max(...turns))), "utf8")) !== '{"held":false}\n';
}
