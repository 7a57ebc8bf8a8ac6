import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** A process of its own that locks folders when it is told to. */
export interface Contender {
  readonly pid: number;
  /** Asks for the lock of a folder: true where it got it, otherwise the code of the refusal. */
  lock(folder: string): Promise<true | string>;
  unlock(): Promise<void>;
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
    lock: (folder) => ask({ lock: folder }) as Promise<true | string>,
    unlock: async () => void (await ask({ unlock: true })),
    kill: async () => {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}
