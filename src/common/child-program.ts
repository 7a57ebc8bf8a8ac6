/**
 * What the programs of a study's processes do alike: they answer whoever started them by messages, and die with that one, so
 * that no orphan goes on writing.
 */

/** Tells a message, which is sent once this is fulfilled; nobody where nobody listens. */
export const tellStarter = (message: object): Promise<void> =>
  new Promise((resolve) => {
    if (process.send) process.send(message, undefined, undefined, () => resolve());
    else resolve();
  });

/** Ends this process once all is written and said: an orderly exit would only run LibTorch's destructors, for longer. */
export const endAtOnce = () => process.kill(process.pid, "SIGKILL");

/**
 * Dies with whoever started it, and leaves to that one what signals mean: Ctrl-C reaches the whole group of processes, and so
 * does that by which Slurm ends a job.
 */
export function followStarter(): void {
  process.on("disconnect", endAtOnce);
  for (const signal of ["SIGINT", "SIGTERM", "SIGUSR1"] as const) process.on(signal, () => {});
}
