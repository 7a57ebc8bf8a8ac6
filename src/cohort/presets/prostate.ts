import { ofImages, ofMasks, ofScores } from "../column-words.js";
import type { CohortColumns } from "../columns.js";

/**
 * Multiparametric MRI of the prostate: what a study has that names no columns of its own. No alias is a name that a
 * cohort's list has for something else: `scanner`, `session` and `age` are nobody's.
 */
export const prostateColumns = {
  reference: "t2w",
  images: {
    t2w: {
      words: "T2W volume",
      meaning: "of T2W images",
      aliases: [
        ...["t2", "t2wi", "t2weighted", "t2wimage", "t2tse", "tset2", "t2ax", "axt2", "axialt2"],
        ...["t2axial", "t2tra", "trat2"],
      ],
      additions: ofImages,
    },
    adc: {
      words: "ADC",
      meaning: "of ADC images",
      aliases: ["apparentdiffusioncoefficient"],
      additions: [...ofImages, "map"],
    },
    hbv: {
      words: "high-b image",
      meaning: "of high-b images",
      aliases: [
        ...["hb", "highb", "highbvalue", "highbdwi", "highbval", "dwihighb", "bhigh", "hbval", "hbvalue"],
        ...["hbdwi", "dwi", "highbimage", "b800", "b1000", "b1400", "b1500", "b2000"],
      ],
      additions: [...ofImages, "highb", "b800", "b1000", "b1400", "b1500", "b2000"],
    },
  },
  masks: {
    gland: {
      words: "gland mask",
      meaning: "of gland masks",
      aliases: ["glands", "prostate", "prostategland", "wholegland", "wg"],
      additions: ofMasks,
    },
    zones: {
      words: "zones mask",
      meaning: "of zone masks",
      aliases: ["zone", "zonal", "zonalanatomy", "prostatezones"],
      additions: ofMasks,
      labels: { 1: "peripheral zone", 2: "transition zone" },
      partOf: "gland",
    },
    // Any grade is a lesion.
    lesion: {
      words: "lesion mask",
      meaning: "of lesion masks",
      aliases: ["lesions", "tumour", "tumor", "tumours", "tumors", "indexlesion"],
      additions: ofMasks,
      partOf: "gland",
    },
    rectum: { words: "rectum mask", meaning: "of rectum masks", aliases: ["rectal"], additions: ofMasks },
  },
  labels: {
    pirads: {
      words: "PI-RADS",
      meaning: "of PI-RADS",
      aliases: ["rads", "pirad", "maxpirads", "highestpirads"],
      additions: ofScores,
      kind: "class",
      classes: [1, 2, 3, 4, 5],
      ordered: true,
      values: "a whole number from 1 to 5",
    },
  },
  stratify: "pirads",
  around: "gland",
  fieldOfView: { least: 20, most: 1000, usual: "where a prostate with its surroundings takes 60 to 100" },
} as const satisfies CohortColumns;
