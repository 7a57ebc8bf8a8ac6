import { z } from "zod";
import { TransferLimitsError } from "../../common/errors.js";
import { type ImageStatistics, quantileShares } from "./images.js";

/** The key of a file's metadata under which what an encoder was pretrained on is kept. */
const recordKey = "fidelity";
const format = "transfer-limits/fidelity@1";

const statistics: z.ZodType<ImageStatistics> = z.object({
  cases: z.number().int().min(1),
  quantiles: z.array(z.number()).length(quantileShares.length),
  mean: z.number(),
  deviation: z.number().min(0),
  spreadVaries: z.number().min(0),
  layout: z.array(z.number()).length(512),
});

const recordSchema = z.object({
  format: z.literal(format),
  channels: z.array(z.string().max(200)).max(4096),
  images: z.record(z.string().max(200), statistics),
  voxels: z.tuple([z.number(), z.number(), z.number()]),
});

/** What the images looked like that an encoder was pretrained on; written into its file. */
export interface FidelityRecord {
  /** The column whose image each channel showed. */
  channels: string[];
  /** By column, those that it did not see too. */
  images: Record<string, ImageStatistics>;
  /** Height, width and depth. */
  voxels: [number, number, number];
}

const rounded = (_: string, value: unknown): unknown =>
  typeof value === "number" ? Number(value.toPrecision(5)) : value;

/** A record as metadata of a file of weights, whose values are strings. */
export const recordMetadata = (record: FidelityRecord): Record<string, string> => ({
  [recordKey]: JSON.stringify({ format, ...record }, rounded),
});

/**
 * The record in a file's metadata; null where there is none.
 *
 * @throws `BAD_CHECKPOINT` where it is damaged
 */
export function recordIn(path: string, metadata: Readonly<Record<string, unknown>>): FidelityRecord | null {
  const text = metadata[recordKey];
  if (typeof text !== "string" || !text.includes(format)) return null;
  try {
    const { format: _, ...record } = recordSchema.parse(JSON.parse(text));
    return record;
  } catch (cause) {
    throw new TransferLimitsError(
      "BAD_CHECKPOINT",
      `Expected a record of what the encoder of ${path} was pretrained on in its metadata, which begins one, but it is damaged. ` +
        "Take the file as it was written",
      { cause },
    );
  }
}
