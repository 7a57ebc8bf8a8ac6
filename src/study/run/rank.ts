/**
 * The program of a process that trains a cell along with the worker that holds it, and dies with that one.
 */
import { messageOf, TransferLimitsError } from "../../common/errors.js";
import { codedError } from "../../common/system-errors.js";
import type { FromRank, ToRank } from "./messages.js";
import { trainAlong } from "./train-along.js";

async function work({ folder, join, ...start }: ToRank): Promise<FromRank> {
  try {
    await trainAlong(folder, start, start.device, join);
    return { kind: "done" };
  } catch (error) {
    const coded = codedError(error);
    const code = coded instanceof TransferLimitsError ? coded.code : "INTERNAL";
    return { kind: "failed", code, reason: messageOf(coded) };
  }
}

const say = (message: FromRank): Promise<void> =>
  new Promise((resolve) => {
    if (process.send) process.send(message, undefined, undefined, () => resolve());
    else resolve();
  });

process.on("message", (told: ToRank) => {
  void work(told).then(async (last) => {
    await say(last);
    // An orderly exit would only run LibTorch's destructors.
    process.kill(process.pid, "SIGKILL");
  });
});
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
// Whoever started this one decides what they mean.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
process.on("SIGUSR1", () => {});
