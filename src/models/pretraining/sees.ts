import type { CohortColumns, MaskRole } from "../../cohort/columns.js";
import { prostateColumns } from "../../cohort/presets/prostate.js";

/** What of a case a pretraining looks at. */
export interface Sees {
  /** The reference, then the cohort's other images. */
  images: readonly [string, ...string[]];
  /** The mask whose foreground is told from other tissue; null: none. */
  mask: MaskRole | null;
}

/** What a cohort has to look at; `mask` is what its study asks for. */
export function seenOf({ images, reference, masks }: CohortColumns, mask?: MaskRole): Sees {
  const others = Object.keys(images).filter((image) => image !== reference);
  const [first = null] = Object.hasOwn(masks, "lesion") ? ["lesion"] : Object.keys(masks);
  return { images: [reference, ...others], mask: mask ?? first };
}

export const seenOfProstate: Sees = seenOf(prostateColumns);
