import { architectureOf, specialisedArchitectureOf } from "../../models/architectures/index.js";
import { headCost } from "../../models/heads/index.js";
import type { NetworkSpec } from "../../native/network-spec.js";

/** Hours as a person reads them: `0.42`, `57,723`. */
export const hoursInWords = (hours: number): string =>
  hours >= 100 ? Math.round(hours).toLocaleString("en-US") : hours.toPrecision(2);

/** More multiplications a second than any core does: two AVX-512 units at 3 GHz. */
const mostPerCore = 1e11;

/** Hours that work of this cost takes at the least on so many cores; what it really takes is several times as much. */
export const leastHours = (cost: number, cores: number): number => cost / (mostPerCore * cores) / 3600;

/**
 * Roughly how many multiplications a network's answer to one input of `voxels` (height x width x depth, after the
 * task) takes. It orders cells, estimates the time left and says what is work for a GPU, nothing else.
 */
export function forwardCost(spec: NetworkSpec, voxels: number): number {
  if ("model" in spec) return specialisedArchitectureOf(spec.model).cost(spec.model, voxels);
  return architectureOf(spec.encoder).cost(spec.encoder, voxels) + headCost(spec.head, spec.encoder, voxels);
}
