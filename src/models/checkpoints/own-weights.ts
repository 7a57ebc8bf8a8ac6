import { TransferLimitsError } from "../../common/errors.js";
import type { EncoderSpec } from "../../native/network-spec.js";
import type { PlacedNetwork } from "../../native/placed-network.js";
import { comesFromFile, encoderArchitectures } from "../architectures/index.js";
import { encoderSpecSchema, withoutUndefined } from "../specification.js";
import { isHeldBy } from "./architecture.js";
import type { CheckpointFile } from "./checkpoint-file.js";
import { probeKey } from "./orientation.js";
import { probeFeatures, sampleOf } from "./probe.js";

const writer = "transfer-limits/weights@1";

/** What network weights are of, for the metadata of their file. */
export const networkMetadata = (network: PlacedNetwork): Record<string, string> => ({
  writer,
  network: JSON.stringify(network.spec, withoutTrust),
});

/** Where a module's code lay is no part of its weights, and no file of weights may vouch for it. */
const withoutTrust = (key: string, value: unknown): unknown =>
  key === "encoder" && comesFromFile(value as EncoderSpec)
    ? { ...(value as EncoderSpec), file: undefined, trust: undefined }
    : value;

/**
 * What this package writes beside weights: what network they are of, and how it embeds the probe volume, by which
 * whoever loads them can tell that they came back unharmed and with their axes in order.
 */
export async function ownMetadata(network: PlacedNetwork): Promise<Record<string, string>> {
  const features = await probeFeatures(network);
  return {
    ...networkMetadata(network),
    ...(features?.every(Number.isFinite) ? { [probeKey]: JSON.stringify(sampleOf(features)) } : {}),
  };
}

/**
 * The encoder of the network whose weights this package wrote to a file, as the file says; null for any other file.
 *
 * @param named the encoder that whoever asks has named
 * @throws `BAD_CHECKPOINT` where what the file says is damaged, or is of a specialised model, which has no encoder; or of a
 *   TorchScript module that is not named
 */
export function recordedEncoder(file: CheckpointFile, named: EncoderSpec | null = null): EncoderSpec | null {
  if (file.metadata.writer !== writer) return null;
  const refuse = (reason: string, cause?: unknown) =>
    new TransferLimitsError("BAD_CHECKPOINT", `${file.path} ${reason}`, { cause });
  const damaged = (what: string, cause?: unknown) =>
    refuse(
      `says that this package wrote it, but the network in its metadata ${what}. Take the file as it was written`,
      cause,
    );
  let spec: unknown;
  try {
    spec = JSON.parse(String(file.metadata.network));
  } catch (error) {
    throw damaged("is not JSON", error);
  }
  const { encoder, model } = (spec ?? {}) as { encoder?: unknown; model?: { family?: unknown } };
  if (encoder === undefined && typeof model?.family === "string")
    throw refuse(
      `holds a specialised model (${model.family.slice(0, 40)}), which has no encoder. Expected the weights of an encoder, ` +
        "alone or with a head",
    );
  const { family, sha256 } = (encoder ?? {}) as { family?: unknown; sha256?: unknown };
  if (
    typeof family === "string" &&
    Object.hasOwn(encoderArchitectures, family) &&
    comesFromFile(encoder as EncoderSpec)
  ) {
    if (
      named?.family === family &&
      comesFromFile(named) &&
      named.sha256.toLowerCase() === String(sha256).toLowerCase()
    )
      return named;
    throw refuse(
      `holds weights of the TorchScript module with SHA-256 ${String(sha256).slice(0, 64)}, whose code is not in it. Expected that ` +
        "module as the encoder, with its file and trust: true, beside the weights",
    );
  }
  const parsed = encoderSpecSchema.safeParse(encoder);
  if (!parsed.success) throw damaged("has no encoder that is known", parsed.error);
  const found = withoutUndefined(parsed.data) as EncoderSpec;
  if (!isHeldBy(file, found)) throw damaged("is far larger than what the file holds");
  return found;
}
