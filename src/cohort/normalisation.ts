import { z } from "zod";
import { section } from "../common/validation.js";

const ordered = { error: "expected low < high" };
const rises = ({ low, high }: { low: number; high: number }) => low < high;
const percentile = z.number().min(0).max(100);

/** How the values of an image are brought to a common scale, volume by volume. */
export const normalisation = z.discriminatedUnion("kind", [
  section({
    kind: z.literal("percentiles"),
    low: percentile.default(0.5),
    high: percentile.default(99.5),
  }).refine(rises, ordered),
  section({ kind: z.literal("range"), low: z.number(), high: z.number() }).refine(rises, ordered),
  section({ kind: z.literal("z-score") }),
]);
