/** What the gate looks at, in the order in which it says so. */
export const fidelityChecks = [
  "weights",
  "features",
  "intensities",
  "channels",
  "axes",
  "positions",
] as const;
/** What of an encoder, or of what it is shown, is checked before it is trained. @useDeclaredType */
export type FidelityCheckName = (typeof fidelityChecks)[number];

/** What one check came to. */
export interface FidelityCheck {
  check: FidelityCheckName;
  /** `not measurable`: nothing that is known of the encoder tells. */
  verdict: "sound" | "flagged" | "not measurable";
  /** Flagged, and nothing that is computed from such an encoder would mean anything. */
  severe: boolean;
  /** What was measured, or why it could not be, and how to mend it: a sentence or two. */
  words: string;
  /** The numbers that the verdict rests on, by name. */
  measured: Record<string, number | null>;
}

type Measured = Record<string, number | null>;

export const sound = (check: FidelityCheckName, words: string, measured: Measured = {}): FidelityCheck => ({
  ...{ check, verdict: "sound", severe: false, words, measured },
});

export const flagged = (
  check: FidelityCheckName,
  words: string,
  measured: Measured,
  severe = false,
): FidelityCheck => ({ check, verdict: "flagged", severe, words, measured });

export const notMeasurable = (
  check: FidelityCheckName,
  words: string,
  measured: Measured = {},
): FidelityCheck => ({ ...{ check, verdict: "not measurable", severe: false, words, measured } });
