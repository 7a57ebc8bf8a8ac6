import type { ParameterInfo, PlacedNetwork } from "../native/placed-network.js";
import { architectureOf } from "./architectures/index.js";

/** How the names of the encoder's parameters begin in a network with a head; null where all of them are the encoder's. */
function encoderPrefixes({ spec }: Pick<PlacedNetwork, "spec">): readonly string[] | null {
  if ("model" in spec) return [];
  const { names, slices } = architectureOf(spec.encoder);
  // A network of slices without a head is called as one with a head; one of volumes alone is the encoder itself.
  return spec.head === undefined && !slices ? null : names.encoder;
}

/** Tells the parameters and buffers of a network's encoder from the others. */
export function ofEncoder(
  network: Pick<PlacedNetwork, "spec">,
): (parameter: Pick<ParameterInfo, "name">) => boolean {
  const prefixes = encoderPrefixes(network);
  return ({ name }) => prefixes === null || prefixes.some((start) => name.startsWith(start));
}
