/**
 * The program of a process that trains a cell along with the worker that holds it, and dies with that one.
 */

import { endAtOnce, followStarter, tellStarter } from "../../common/child-program.js";
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

process.on("message", (told: ToRank) => {
  void work(told).then(tellStarter).then(endAtOnce);
});
followStarter();
