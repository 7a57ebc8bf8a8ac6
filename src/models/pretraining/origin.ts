import { z } from "zod";
import { TransferLimitsError } from "../../common/errors.js";

/** Where the weights of an encoder that this package pretrained come from, as the file's own metadata says. */
export interface EncoderOrigin {
  /** The model's name in the study that pretrained it. */
  model: string;
  method: string;
  /** The encoder's specification. */
  encoder: unknown;
  /** Every setting of the pretraining, defaults filled in. */
  settings: unknown;
  /** The version of this package. */
  package: string;
  /** The patients whose images the encoder saw, sorted. */
  patients: readonly string[];
}

const format = "transfer-limits/encoder@1";
const patientsSchema = z.array(z.string().max(128)).max(10_000_000);

/** An origin as the metadata of a safetensors file, whose values are strings. */
export const originMetadata = (origin: EncoderOrigin): Record<string, string> => ({
  format,
  model: origin.model,
  pretraining: origin.method,
  encoder: JSON.stringify(origin.encoder),
  settings: JSON.stringify(origin.settings),
  package: origin.package,
  patients: JSON.stringify(origin.patients),
});

/**
 * The patients that the encoder of a file saw, from the file's metadata; null where it is no file of this package, so
 * that it is not known.
 *
 * @throws `BAD_CHECKPOINT` where a file says that it is one of ours, and its list is damaged
 */
export function patientsSeen(path: string, metadata: Readonly<Record<string, string>>): string[] | null {
  if (metadata.format !== format) return null;
  try {
    return patientsSchema.parse(JSON.parse(metadata.patients ?? ""));
  } catch (cause) {
    throw new TransferLimitsError(
      "BAD_CHECKPOINT",
      `Expected a JSON list of patients in the metadata of ${path}, which says that it is a ${format}, but it has none. ` +
        "Which patients these weights saw cannot be known: take the file as it was written",
      { cause },
    );
  }
}
