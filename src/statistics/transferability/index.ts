export { type HScoreOptions, hScore } from "./h-score.js";
export { linearProbe, linearProbeOfRegression, type ProbeOptions } from "./linear-probe.js";
export { logMe, logMeOfRegression } from "./log-me.js";
export {
  type NeighbourOptions,
  nearestNeighbours,
  nearestNeighboursOfRegression,
} from "./nearest-neighbours.js";
export type { FeatureRows } from "./rows.js";
export { type SfdaOptions, sfda } from "./sfda.js";
