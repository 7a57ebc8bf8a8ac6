import type { CohortColumns, MaskRole } from "./columns.js";
import { wordsOfColumn } from "./needs.js";
import type { PreparedCase } from "./preprocess.js";
import { prostateColumns } from "./presets/prostate.js";

/** How the masks of one column came out of the preparation. */
export interface MaskCount {
  role: MaskRole;
  /** Cases that have such a mask. */
  cases: number;
  /** Those of which no voxel of foreground lies in the crop. */
  empty: number;
  /** Those whose file holds values between 0 and 1: foreground is what was above one half there. */
  graded: number;
}

/** Counts the masks of prepared cases, each case once, whatever sets it is in. */
export function countMasks(
  prepared: Iterable<PreparedCase>,
  { masks }: Pick<CohortColumns, "masks"> = prostateColumns,
): MaskCount[] {
  const cases = [...new Map([...prepared].map((one) => [one.file, one])).values()];
  return Object.keys(masks).flatMap((role) => {
    const having = cases.filter(({ volumes }) => volumes.includes(role));
    if (having.length === 0) return [];
    const count = (which: "emptyMasks" | "gradedMasks") =>
      having.filter((one) => one[which]?.includes(role)).length;
    return [{ role, cases: having.length, empty: count("emptyMasks"), graded: count("gradedMasks") }];
  });
}

/** What a person should know of the masks: sentences, none where all of them are as they should be. */
export function masksInWords(counts: readonly MaskCount[]): string[] {
  return counts.flatMap(({ role, cases, empty, graded }) => {
    const of = (number: number) =>
      `${number} of ${cases} ${wordsOfColumn(role, "mask")}${cases === 1 ? "" : "s"}`;
    return [
      ...(empty > 0 ? [`${of(empty)} show${empty === 1 ? "s" : ""} nothing in the crop.`] : []),
      ...(graded > 0
        ? [
            `${of(graded)} hold${graded === 1 ? "s" : ""} values between 0 and 1, as linear resampling and the agreement of ` +
              "readers leave: foreground is what lies above 0.5. Grades that were divided (1/5 to 5/5) belong in the file " +
              "as whole numbers.",
          ]
        : []),
    ];
  });
}
