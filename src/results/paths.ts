import { join } from "node:path";

/** Where everything of a study lies. */
export const studyPaths = (folder: string) => ({
  cells: join(folder, "cells"),
  cell: (id: string) => join(folder, "cells", id),
  cellResult: (id: string) => join(folder, "cells", id, cellFiles.result),
  pretrainingResult: (id: string) => join(folder, "cells", id, cellFiles.pretraining),
  examples: (id: string) => join(folder, "cells", id, cellFiles.examples),
  embeddings: (id: string) => join(folder, "cells", id, cellFiles.embeddings),
  /** The states of trainings that are not finished: each in a folder of whoever works on the cell. */
  allProgress: join(folder, "progress"),
  progress: (id: string) => join(folder, "progress", id),
  /** Held by whoever runs the study. */
  lock: join(folder, ".lock"),
  /** Held by whoever works on a cell, who also writes there what is not complete yet. */
  cellLock: (id: string) => join(folder, "locks", id),
  /** What there is to do for a cell. */
  jobs: join(folder, "jobs"),
  job: (id: string) => join(folder, "jobs", `${id}.json`),
  /** Finished cells that the study does not ask for any more, by what their numbers rest on. */
  noLonger: join(folder, "no-longer-belongs"),
  failure: (id: string) => join(folder, "cells", `${id}.failed.json`),
  /** What happened to every tensor of the weights that a model brings. */
  weights: (model: string) => join(folder, "weights", `${model}.json`),
  /** What an encoder and its input were found to be before it was trained. */
  fidelity: (encoder: string) => join(folder, "fidelity", `${encoder}.json`),
  /** How much an encoder's features tell of a task, before it is trained: pretrained, or with random weights. */
  forecast: (model: string, task: string, weights: "pretrained" | "random") =>
    join(folder, "forecast", `${model}--${task}--${weights}.json`),
  results: join(folder, "results.json"),
  table: join(folder, "results.csv"),
  /** Every way of relating distances to gains. */
  specifications: join(folder, "specifications.csv"),
  resolved: join(folder, "study.resolved.json"),
  splits: join(folder, "splits.json"),
  figures: join(folder, "figures"),
  tables: join(folder, "tables"),
  /** When and where the study was worked on. */
  sessions: join(folder, "sessions.json"),
  /** Which case is where. */
  cohort: join(folder, "cohort.json"),
  report: join(folder, "report.html"),
});

/** What a cell's folder holds. */
export const cellFiles = {
  result: "cell.json",
  pretraining: "pretraining.json",
  examples: "examples.safetensors",
  embeddings: "embeddings.safetensors",
  curve: "curve.csv",
  /** Features of the test cases along the encoder. */
  depths: "stages.safetensors",
  /** The network after its last epoch, and at its best one. */
  last: "last.safetensors",
  best: "best.safetensors",
} as const;

export const encoderFile = "encoder.safetensors";

/** What the folder of a training that is not finished holds, beside its state. */
export const progressFiles = {
  /** What the training's numbers follow from. */
  mark: "rests-on.json",
  /** Which files are the state that was saved last. */
  pointer: "progress.json",
} as const;

/** What a report writes beside its page, in the study's folder. */
export const besideReport = { claims: "claims.json", methods: "methods.txt" } as const;
