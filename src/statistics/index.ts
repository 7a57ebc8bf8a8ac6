export type { Claim, Verdict, WouldSettle } from "../results/claims.js";
export type {
  CollapsedFeatures,
  DistanceAtCeiling,
  Finding,
  NothingLearnt,
  PretrainingNotFallen,
} from "../results/findings.js";
export {
  type CurveLevel,
  type DifferenceTest,
  type Table,
  type Worth,
  worthInPatients,
} from "./break-even.js";
export { type ClaimRules, computeClaims } from "./claims.js";
export {
  type AucDifference,
  aucDifference,
  aucInterval,
  kappaInterval,
  type ScoredCases,
  type ScoresBySeed,
  specificityDifference,
  specificityInterval,
} from "./classification-intervals.js";
export {
  averageRanks,
  type Correlation,
  type CorrelationOptions,
  pearson,
  smallestSignificant,
  spearman,
} from "./correlation.js";
export { detectableCorrelation } from "./detectable-correlation.js";
export type { Circumstances } from "./doubts.js";
export { computeGains, relativePerformanceGain } from "./gains.js";
export {
  type JointCorrelation,
  jointCorrelation,
  type PanelRelation,
  type RelationPanel,
} from "./joint-correlation.js";
export { computeLearningCurves } from "./learning-curves.js";
export { computeIntervals } from "./metric-intervals.js";
export type { IntervalEstimate, ResamplingOptions } from "./patient-bootstrap.js";
export type { PermutationOptions } from "./permuted-correlation.js";
export { detectableDifference, expectedHalfWidth, type Spreads } from "./planning.js";
export { computeRelations, type RelationSource } from "./relations.js";
export {
  bootstrapInterval,
  mean,
  quantile,
  standardDeviation,
} from "./sample-statistics.js";
export { type SimulatedStudy, simulateClaims, simulateStudy } from "./simulation.js";
export {
  type JointStatistic,
  type Specification,
  type SpecificationCurve,
  type SpecificationEstimate,
  specificationCurve,
} from "./specification-curve.js";
export {
  type FeatureRows,
  type HScoreOptions,
  hScore,
  linearProbe,
  linearProbeOfRegression,
  logMe,
  logMeOfRegression,
  type NeighbourOptions,
  nearestNeighbours,
  nearestNeighboursOfRegression,
  type ProbeOptions,
  type SfdaOptions,
  sfda,
} from "./transferability/index.js";
