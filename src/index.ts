/// <reference lib="esnext.disposable" preserve="true" />
/**
 * What a Node script imports from `transfer-limits`. Sizes of volumes are in voxels, [D, H, W] with W running fastest; places
 * are in mm; errors are `TransferLimitsError`s, whose `code` is named where one is thrown.
 *
 * @module
 */
export { compareFeatures } from "./alignment/compare-features.js";
export {
  type CaseOfColumns,
  type EmbeddingEvent,
  type EmbedImagesOptions,
  embedImages,
  type ImageEmbeddings,
  type ImageRole,
  type NamedCaseFiles,
} from "./alignment/embed-images.js";
export { mmd2, type SquaredMmd } from "./alignment/mmd.js";
export {
  type MmdPermutationTest,
  mmdPermutationTest,
  type PermutationTestOptions,
} from "./alignment/permutation-test.js";
export type { MaskRole, VolumeRole } from "./cohort/columns.js";
export type { ImageLimits } from "./cohort/formats/limits.js";
export { type Image, type ImageFormat, type ReadOptions, readImage } from "./cohort/image.js";
export type { MaskCount } from "./cohort/mask-counts.js";
export type { ColumnsInput } from "./cohort/own-columns.js";
export { type PhantomCohortOptions, writePhantomCohort } from "./cohort/phantom.js";
export {
  type CaseFiles,
  type PreparationOptions,
  type PreparedVolume,
  type PrepareVolumeOptions,
  prepareVolume,
} from "./cohort/prepare-volume.js";
export { type ErrorCode, TransferLimitsError } from "./common/errors.js";
export type { CellLabel, MeasuredMetric, StudyEvent } from "./common/progress.js";
export type { Comparator, Strategy } from "./common/vocabulary.js";
/** Denoising diffusion: noise schedules, noising, and sampling with a network that predicts noise, velocity or image. */
export * as diffusion from "./diffusion/index.js";
export type { DenseNetSpec } from "./models/architectures/densenet-3d.js";
export {
  type CheckpointFile,
  type CheckpointFormat,
  type CheckpointOptions,
  openCheckpoint,
} from "./models/checkpoints/checkpoint-file.js";
export type { LoadReport } from "./models/checkpoints/load-report.js";
export type { LoadOptions } from "./models/checkpoints/load-weights.js";
export type { Orientation } from "./models/checkpoints/orientation.js";
export type { Plain } from "./models/checkpoints/state-dict.js";
export type { WeightsChoice, WeightsState } from "./models/checkpoints/weights-states.js";
export type { EncoderSource } from "./models/encoder-source.js";
export { type LoadSummary, Network, type NetworkOptions } from "./models/network.js";
export type { EncoderChoice } from "./models/specification.js";
export type { Products } from "./native/kernels.js";
export type {
  ConvNeXtSpec,
  DiffusionUNetSpec,
  DinoVitSpec,
  EncoderSpec,
  EncoderSpecs,
  HeadSpec,
  IntensityOutput,
  ModelSpec,
  NetworkSpec,
  ResidualEncoderSpec,
  ResNetEncoderSpec,
  ResNetSpec,
  ScriptStage,
  SwinUnetrSpec,
  TorchScriptSpec,
  TransUNetSpec,
  UNetSpec,
  VitSpec,
} from "./native/network-spec.js";
export type { StoredType } from "./native/number-formats.js";
export type {
  FeaturesAlong,
  ParameterInfo,
  PooledDepth,
  Precision,
  SliceFeatures,
  SliceOptions,
  VolumeFeatures,
} from "./native/placed-network.js";
export type { StoredTensor } from "./native/stored-tensor.js";
export type { ShapedArray } from "./native/temporary.js";
export { type DType, Tensor, type TypedArray } from "./native/tensor.js";
export type {
  DistillationSchedule,
  LossSpec,
  PatchContrastSettings,
  SliceViews,
  StepReading,
  StepSettings,
  TrainerOptions,
  TrainerState,
} from "./native/trainer.js";
export { Trainer } from "./native/trainer.js";
export type { Normalisation } from "./native/volumes.js";
export { writeReport } from "./report/index.js";
export type { Answer, Counts, Saturation, Tally } from "./results/answers.js";
export type {
  Basis,
  CaseScore,
  CellFailure,
  CellResult,
  Cost,
  EpochRecord,
  ExampleTensors,
  PretrainingResult,
  Retry,
  TestMetric,
  TrivialChoice,
} from "./results/cell.js";
export type { Claim, Gain, GainReference, Verdict, WouldSettle } from "./results/claims.js";
export type {
  DepthDistance,
  Distance,
  DistanceFlag,
  DistanceName,
  DriftBetweenSeeds,
  DriftVerdict,
  FeatureComparison,
  KernelDistance,
  KernelMeans,
  MeanDistance,
  Range,
  UndefinedKernelDistance,
} from "./results/distances.js";
export type { EncoderFidelity } from "./results/fidelity.js";
export type { CellStatus } from "./results/fields.js";
export type {
  CollapsedFeatures,
  DistanceAtCeiling,
  Finding,
  NothingLearnt,
  PretrainingNotFallen,
} from "./results/findings.js";
export type { MetricInterval } from "./results/intervals.js";
export type { CurvePoint, LearningCurve, PretrainingWorth } from "./results/learning-curves.js";
export type { Relation, RelationPoint, ResampledRelation } from "./results/relations.js";
export type { Score } from "./results/scores.js";
export type { CurveSummary } from "./results/specification-curve.js";
export type {
  CellSummary,
  Exclusion,
  PatientExposure,
  Session,
  StudyResults,
  TimeTaken,
} from "./results/study.js";
export type { ForecastCheck } from "./statistics/forecast-check.js";
/** Means, intervals, correlations and gains, as the report computes them. */
export * as statistics from "./statistics/index.js";
export { type Study, type StudyInput, studySchema, type TrainingSettings } from "./study/config/schema.js";
export { loadStudy, planStudy } from "./study/plan/load-study.js";
export type { PlannedCell, StudyPlan, Trains } from "./study/plan/plan.js";
export type { EarlyTraining } from "./study/run/early-training.js";
export {
  type Forecast,
  type ForecastModel,
  type ForecastOptions,
  type ForecastTask,
  forecastStudy,
  type PredictorName,
} from "./study/run/forecast.js";
export { type RunOptions, runStudy } from "./study/run/run.js";
export type { TransferScores } from "./study/run/transfer-scores.js";
export type { Augmentation } from "./tasks/augmentation.js";
export type { TaskKind } from "./tasks/index.js";
/** What the tasks are judged by: SSIM, Dice, specificity at a sensitivity, and what stands beside them. */
export * as metrics from "./tasks/metrics.js";
export type { ChannelFill } from "./tasks/task.js";
