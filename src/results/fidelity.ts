/** What encoders and their input were found to be before they were trained: `fidelity` of `results.json`. */
import { z } from "zod";
import { numberOrNull, text, whole } from "./fields.js";

const fidelityCheckSchema = z.object({
  check: z.enum(["weights", "features", "intensities", "channels", "axes", "positions"]),
  /** `not measurable`: nothing that is known of the encoder tells. */
  verdict: z.enum(["sound", "flagged", "not measurable"]),
  /** Flagged, and nothing that is computed from such an encoder would mean anything. */
  severe: z.boolean(),
  words: text,
  /** What the verdict rests on, by name: see docs/methods.md. */
  measured: z.record(text, numberOrNull),
});

const encoderFidelitySchema = z.object({
  model: text,
  /** Where the study pretrains it: the cell that did. */
  pretraining: text.exactOptional(),
  /** SHA-256 of the file of its weights. */
  weights: text,
  /** Training cases that were looked at. */
  cases: whole,
  checks: z.array(fidelityCheckSchema),
});

/** What one encoder, and what it is shown, was found to be. */
export interface EncoderFidelity extends z.infer<typeof encoderFidelitySchema> {}
export const encoderFidelity: z.ZodType<EncoderFidelity> = encoderFidelitySchema;

/** `fidelity/<encoder>.json`: the same, with what it rests on. */
export const keptFidelitySchema = encoderFidelitySchema.extend({ restsOn: text });

/** The checks that something speaks against, each with its model. */
export const flaggedIn = (
  all: readonly EncoderFidelity[],
): { model: string; check: EncoderFidelity["checks"][number] }[] =>
  all.flatMap(({ model, checks }) =>
    checks.filter(({ verdict }) => verdict === "flagged").map((check) => ({ model, check })),
  );

/** One sentence or two about a check. */
export const fidelityWords = (model: string, { check, words }: EncoderFidelity["checks"][number]): string =>
  `${model}, ${check}: ${words}`;
