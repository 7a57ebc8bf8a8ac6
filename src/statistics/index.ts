export { averageRanks, type Correlation, pearson, smallestSignificant, spearman } from "./correlation.js";
export { computeGains, relativePerformanceGain } from "./gains.js";
export {
  bootstrapInterval,
  mean,
  type PairedDifference,
  pairedDifference,
  quantile,
  standardDeviation,
} from "./summary.js";
