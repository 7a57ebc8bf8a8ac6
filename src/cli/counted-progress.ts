import type { Writable } from "node:stream";
import { createLogUpdate } from "log-update";
import { duration } from "./format.js";
import { isLive, quietInterval } from "./terminal.js";

/** Shows how far work on things that are counted has come. Close it at the end, however the work ended. */
export interface CountedProgress {
  /** `leftOut`: how many of those that are done could not be. */
  show(event: { done: number; total: number; leftOut: number }): void;
  close(): void;
}

/** On a terminal a live line (`Embedding: 3 of 40, about 2 min 05 s left`); elsewhere a line every half minute. */
export function countedProgress(
  stream: Writable & { isTTY?: boolean; columns?: number },
  doing: string,
): CountedProgress {
  const started = Date.now();
  let saidAt = started;
  const words = (done: number, total: number, leftOut: number): string => {
    const left = ((Date.now() - started) / 1000 / done) * (total - done);
    return (
      `${doing}: ${done} of ${total}${leftOut > 0 ? `, ${leftOut} left out` : ""}` +
      `${done < total ? `, about ${duration(left)} left` : ""}`
    );
  };
  const live = isLive(stream) ? createLogUpdate(stream) : null;
  return {
    show({ done, total, leftOut }) {
      const said = words(done, total, leftOut);
      if (live) live(said.slice(0, (stream.columns ?? 80) - 1));
      else if (Date.now() - saidAt >= quietInterval) {
        saidAt = Date.now();
        stream.write(`${said}\n`);
      }
    },
    close() {
      live?.clear();
      live?.done();
    },
  };
}
