import type { StudyEvent } from "../../common/progress.js";
import type { JoinOptions } from "../../native/ranks.js";
import type { CellEnd, RanksStart } from "../cell/work-on-cell.js";
import type { Meeting } from "./meeting.js";

/** Which cell a worker works on: all else that it needs to know lies in the study's folder. */
export interface CellPlace {
  folder: string;
  id: string;
  device: string;
  /** Where those meet that a launcher started together, this process as rank 0; absent: it starts others itself. */
  meeting?: Meeting | undefined;
}

/** What a worker is told. `stays`: another cell may follow; else it ends with this one. */
export type ToWorker = { kind: "run"; place: CellPlace; stays: boolean } | { kind: "stop" };

/** What a worker tells. `ended` is its last word of a cell. */
export type FromWorker =
  /** The first word: it heard of its cell, and whatever ends it from here on is the cell's fate. */
  | { kind: "taken-up" }
  | { kind: "event"; event: StudyEvent }
  | { kind: "ended"; end: CellEnd; nativeSeconds: number; liveTensors: number };

/** What a process that trains along with a worker is told. */
export interface ToRank extends RanksStart {
  folder: string;
  join: JoinOptions;
}

/** What it tells: its last word. */
export type FromRank = { kind: "done" } | { kind: "failed"; code: string; reason: string };
