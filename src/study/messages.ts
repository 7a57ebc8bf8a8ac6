import type { MeasuredMetric, StudyEvent } from "../common/progress.js";
import type { CellJob } from "./cell.js";

/** What the study tells a worker. */
export type ToWorker = { kind: "run"; job: CellJob } | { kind: "stop" };

/** What a worker tells the study. One of `done`, `failed` and `stopped` is its last word. */
export type FromWorker =
  /** The first word: it heard of its cell, and whatever ends it from here on is the cell's fate. */
  | { kind: "taken-up" }
  | { kind: "event"; event: StudyEvent }
  | { kind: "done"; metric: MeasuredMetric | null; nativeSeconds: number; liveTensors: number }
  | { kind: "failed"; code: string; reason: string }
  | { kind: "stopped" };
