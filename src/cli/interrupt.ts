import { sameCommand } from "../common/own-commands.js";

/**
 * A signal that Ctrl-C (or SIGTERM) aborts: the first time the work ends cleanly after its present step, the second
 * time the process ends at once. `dispose` gives Ctrl-C back to the system.
 */
export function abortOnInterrupt(): { signal: AbortSignal; dispose: () => void } {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write(
      `\nStopping after the present step. Ctrl-C again ends at once. To go on later: ${sameCommand()}\n`,
    );
    controller.abort();
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  return {
    signal: controller.signal,
    dispose: () => {
      process.off("SIGINT", interrupt);
      process.off("SIGTERM", interrupt);
    },
  };
}
