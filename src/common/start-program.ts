import { type ChildProcess, type ForkOptions, fork } from "node:child_process";

/**
 * Starts a program of this package in a process of its own, without the flags that this one was started with.
 *
 * @param words its command line, by which it is known in a list of processes
 * @param options `threads` of an operation on the CPU (default: as many as here); whether what it writes to stderr is read; how
 *   messages are written
 */
export const startProgram = (
  program: string,
  words: readonly string[],
  options: { threads?: number; stderr: "pipe" | "ignore" } & Pick<ForkOptions, "serialization">,
): ChildProcess => {
  const { threads, stderr, ...others } = options;
  const limit =
    threads === undefined ? {} : { OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
  return fork(program, [...words], {
    ...others,
    stdio: ["ignore", "ignore", stderr, "ipc"],
    execArgv: [],
    env: { ...process.env, ...limit },
  });
};
