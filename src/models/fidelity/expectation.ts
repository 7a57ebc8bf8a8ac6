import { z } from "zod";
import { section } from "../../common/validation.js";

const directions = "SIAPLR";
const axisOf = (letter: string): number => Math.floor(directions.indexOf(letter) / 2);

/** Where depth, height and width of our volumes point: to the head, to the back and to the left. */
export const ourAxes = "SPL";

/** What an encoder from elsewhere was trained on, as far as a person knows it. */
export const expectationSchema = section({
  /** The scale of its images: within `low` and `high`, or with mean 0 and variance 1. */
  intensities: z
    .discriminatedUnion("kind", [
      section({ kind: z.literal("range"), low: z.number(), high: z.number() }).refine(
        ({ low, high }) => low < high,
        { error: "expected low < high" },
      ),
      section({ kind: z.literal("z-score") }),
    ])
    .optional(),
  /** The column of the cohort whose images each of its channels is for, in its order. */
  channels: z.array(z.string().min(1).max(200)).min(1).max(64).optional(),
  /** Where depth, height and width of its volumes point, as three letters: S or I, A or P, L or R. Ours are `SPL`. */
  axes: z
    .string()
    .refine(
      (text) =>
        text.length === 3 &&
        [...text].every((letter) => directions.includes(letter)) &&
        new Set([...text].map(axisOf)).size === 3,
      {
        error:
          "expected three letters, where depth, height and width point: one of S I, of A P and of L R, such as SPL",
      },
    )
    .optional(),
  /** Height, width and depth in voxels that its position embedding was trained at; depth may be left out. */
  voxels: z.array(z.int().min(1).max(100_000)).min(2).max(3).optional(),
});

/** What an encoder from elsewhere was trained on. */
export type Expectation = z.infer<typeof expectationSchema>;
