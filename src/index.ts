/// <reference lib="esnext.disposable" preserve="true" />
/** What a Node script imports from `transfer-limits`. */
export { mmd2 } from "./alignment/mmd.js";
export {
  type MmdPermutationTest,
  mmdPermutationTest,
  type PermutationTestOptions,
} from "./alignment/permutation-test.js";
export { type Image, type ReadOptions, readImage } from "./cohort/image.js";
export { type PhantomCohortOptions, writePhantomCohort } from "./cohort/phantom.js";
export { type ErrorCode, TransferLimitsError } from "./common/errors.js";
export type { CellLabel, StudyEvent } from "./common/progress.js";
export * as diffusion from "./diffusion/index.js";
export { type CheckpointFile, openCheckpoint } from "./models/checkpoints/checkpoint-file.js";
export type { LoadOptions } from "./models/checkpoints/load.js";
export type { LoadReport } from "./models/checkpoints/load-report.js";
export { type LoadSummary, Network, type NetworkOptions } from "./models/network.js";
export type { SliceFeatures, SliceOptions, VolumeFeatures } from "./native/network.js";
export type { EncoderSpec, HeadSpec } from "./native/network-spec.js";
export { type DType, Tensor, type TypedArray } from "./native/tensor.js";
export type { DistillationSchedule, LossSpec, SliceViews, TrainerOptions } from "./native/trainer.js";
export { Trainer } from "./native/trainer.js";
export { writeReport } from "./report/index.js";
export * as statistics from "./statistics/index.js";
export { loadStudy, planStudy } from "./study/load.js";
export type { PlannedCell, StudyPlan } from "./study/plan.js";
export type * from "./study/results.js";
export { type RunOptions, runStudy } from "./study/run.js";
export { type Study, type StudyInput, studySchema } from "./study/schema.js";
export * as metrics from "./tasks/metrics.js";
