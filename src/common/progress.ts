import type { Comparator, Strategy, TaskName } from "./vocabulary.js";

/** Which cell an event is about, in words that a person reads. */
export interface CellLabel {
  /** Also the name of its folder below `cells/`. */
  id: string;
  /** Pretraining of an encoder, or a comparator that is tested. */
  kind: "pretraining" | "cell";
  /** Null for pretraining. */
  task: TaskName | null;
  /** How the task is learnt; null for pretraining. */
  strategy: Strategy | null;
  /** The foundation model; for `specialised` the specialised architecture. */
  model: string;
  /** Null for pretraining. */
  comparator: Comparator | null;
  /** Which of the study's `seeds`. */
  seed: number;
  /** Of a learning curve: how many patients it is trained on, or which share of them. Absent: all. */
  patients?: number;
}

/** A metric over a set of cases; null where these leave it undefined. */
export interface MeasuredMetric {
  name: string;
  value: number | null;
}

/** What a running study tells, in order. A view draws a line a running cell; a log writes a line an epoch. */
export type StudyEvent =
  /** A cohort case was preprocessed, or found in the cache. */
  | {
      kind: "case";
      done: number;
      total: number;
      case: string;
      excluded: string | null;
      /** The manifest of the cohort, of which a study may have several. */
      cohort: string;
    }
  /** The cohort is prepared: what a person should know of it, such as masks that show nothing in the crop. */
  | { kind: "prepared"; notes: string[] }
  /** The plan is made: so many cells, of which some are already there from an earlier run. */
  | { kind: "plan"; cells: CellLabel[]; alreadyDone: number }
  /** A pretrained encoder was looked at before it is trained: what speaks against it, or against what it is shown; `severe`: all that starts from it. */
  | { kind: "encoder-checked"; model: string; flags: string[]; severe: boolean }
  | { kind: "cell-started"; cell: CellLabel; epochs: number; startEpoch: number }
  | {
      kind: "epoch";
      cell: CellLabel;
      epoch: number;
      epochs: number;
      loss: number;
      metric: { name: string; value: number } | null;
      /** Seconds left of this cell, from its own epochs so far. */
      secondsLeft: number;
    }
  | {
      kind: "cell-done";
      cell: CellLabel;
      metric: MeasuredMetric | null;
      seconds: number;
      /** Of these, how many the cell's process had native work under way. */
      nativeSeconds: number;
    }
  | { kind: "cell-failed"; cell: CellLabel; reason: string }
  /** Its memory was exhausted: it is tried once more, with `microBatch` cases at a time and the same gradient. */
  | { kind: "cell-retried"; cell: CellLabel; reason: string; microBatch: number }
  /** Another process, maybe on another host, works on it: its result is picked up from the study's folder. */
  | { kind: "cell-elsewhere"; cell: CellLabel; holder: string }
  /** A file, or a folder, that was found damaged was moved to `keptAs`; what rests on it is computed again. */
  | { kind: "set-aside"; file: string; reason: string; keptAs: string }
  /** The study, as it was changed, asks for another cell under this id, or for none: the finished one was moved to `keptAs`. */
  | { kind: "cell-moved-away"; id: string; reason: string; keptAs: string }
  /** The study, changed back, asks again for a finished cell that had been moved away. */
  | { kind: "cell-moved-back"; id: string }
  /** After every cell; `secondsLeft` of the study is never below that of a running cell. */
  | { kind: "study"; done: number; failed: number; total: number; secondsLeft: number | null };
