/**
 * The program of a worker process: loads LibTorch, waits to be told a cell, works on it, and ends, or waits for another. It
 * knows its study by the study's folder alone, and dies with whoever started it, so that no orphan goes on writing.
 */

import { endAtOnce, followStarter, tellStarter } from "../../common/child-program.js";
import {
  buildInfo,
  nativeSeconds,
  resetPeakMemory,
  setDeterministic,
  setThreads,
} from "../../native/runtime.js";
import { Tensor } from "../../native/tensor.js";
import { workOnCell } from "../cell/work-on-cell.js";
import { launchRanks } from "./launch-ranks.js";
import { joinStarted } from "./meeting.js";
import type { CellPlace, FromWorker, ToWorker } from "./messages.js";

let controller = new AbortController();
let worked = false;

const say = (message: FromWorker): Promise<void> => tellStarter(message);

async function work({ folder, id, device, meeting }: CellPlace): Promise<FromWorker> {
  process.title = `transfer-limits study/run/worker.js ${id}`;
  void say({ kind: "taken-up" });
  if (worked) resetPeakMemory(device);
  worked = true;
  const secondsBefore = nativeSeconds();
  const end = await workOnCell(folder, id, {
    device,
    signal: controller.signal,
    tell: (event) => void say({ kind: "event", event }),
    startRanks: (start) => (meeting ? joinStarted(meeting, folder, start) : launchRanks(folder, start)),
    begin: ({ execution }, threads) => {
      setThreads(threads);
      if (device !== "cpu") setDeterministic(execution.deterministic);
    },
  });
  return end.kind === "done"
    ? { kind: "ended", end, nativeSeconds: nativeSeconds() - secondsBefore, liveTensors: Tensor.live }
    : { kind: "ended", end, nativeSeconds: 0, liveTensors: 0 };
}

process.on("message", (message: ToWorker) => {
  if (message.kind === "stop") return controller.abort();
  controller = new AbortController();
  void work(message.place)
    .then(say)
    .then(() => {
      if (!message.stays) endAtOnce();
    });
});
followStarter();

try {
  buildInfo();
} catch {
  // The cell meets the error again and tells it.
}
