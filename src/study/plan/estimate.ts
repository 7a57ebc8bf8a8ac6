import { architectureOf, specialisedArchitectureOf } from "../../models/architectures/index.js";
import { type Extents, multiplyAddsOf, pass, volumeOf, type Work } from "../../models/architectures/work.js";
import { headWork, seenUnder } from "../../models/heads/index.js";
import type { NetworkSpec } from "../../native/network-spec.js";

/** Hours as a person reads them: `0.42`, `57,723`. */
export const hoursInWords = (hours: number): string =>
  hours >= 100 ? Math.round(hours).toLocaleString("en-US") : hours.toPrecision(2);

/** More multiplications a second than any core does: two AVX-512 units at 3 GHz. */
const mostPerCore = 1e11;

/** Hours that work of this cost takes at the least on so many cores; what it really takes is several times as much. */
export const leastHours = (cost: number, cores: number): number => cost / (mostPerCore * cores) / 3600;

/** An exponential for each voxel and bin, and what is blended of the logits around, take about as long as passing so many values. */
const valuesOfBin = 6;

/** What a network's answer to one input, after the task, takes to compute: its encoder, and the rest. */
export function forwardWork(spec: NetworkSpec, extents: Extents): { encoder: Work; rest: Work } {
  const bins = spec.output?.bins ?? 1;
  if ("model" in spec) {
    const { model } = spec;
    return { encoder: [], rest: specialisedArchitectureOf(model).work(model, extents) };
  }
  const { encoder, head } = spec;
  // Intensities are an expectation over bins, of which each voxel has as many outputs.
  const answered = head && "outputs" in head ? { ...head, outputs: bins * head.outputs } : head;
  const expectation = spec.output ? [pass(valuesOfBin * bins * volumeOf(extents))] : [];
  return {
    encoder: architectureOf(encoder).work(encoder, seenUnder(head, encoder, extents)),
    rest: [...headWork(answered, encoder, extents), ...expectation],
  };
}

/** How many multiplications a network's answer to one input takes. It orders cells and says what is work for a GPU. */
export function forwardCost(spec: NetworkSpec, extents: Extents): number {
  const { encoder, rest } = forwardWork(spec, extents);
  return multiplyAddsOf(encoder) + multiplyAddsOf(rest);
}
