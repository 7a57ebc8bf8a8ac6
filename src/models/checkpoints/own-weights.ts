import type { Network } from "../../native/network.js";
import { probeKey } from "./orientation.js";
import { probeFeatures, sampleOf } from "./probe.js";

/** What network weights are of, for the metadata of their file. */
export const networkMetadata = (network: Network): Record<string, string> => ({
  writer: "transfer-limits/weights@1",
  network: JSON.stringify(network.spec),
});

/**
 * What this package writes beside weights: what network they are of, and how it embeds the probe volume, by which
 * whoever loads them can tell that they came back unharmed and with their axes in order.
 */
export async function ownMetadata(network: Network): Promise<Record<string, string>> {
  const features = await probeFeatures(network);
  return {
    ...networkMetadata(network),
    ...(features?.every(Number.isFinite) ? { [probeKey]: JSON.stringify(sampleOf(features)) } : {}),
  };
}
