import { describe } from "../common/errors.js";

/** The images and masks that a case may have; each is a column of the manifest. */
export const volumeRoles = ["t2w", "adc", "hbv", "gland", "zones", "lesion", "rectum"] as const;
/** A column of images or masks. @useDeclaredType */
export type VolumeRole = (typeof volumeRoles)[number];
/** Those among them that are masks. */
export const maskRoles = ["gland", "zones", "lesion", "rectum"] as const satisfies readonly VolumeRole[];
/** A column of masks. @useDeclaredType */
export type MaskRole = (typeof maskRoles)[number];

/** The columns of a manifest that mean something to this package. */
export const knownColumns = ["case", "patient", "pirads", ...volumeRoles] as const;
export type KnownColumn = (typeof knownColumns)[number];

export const requiredColumns = ["case", "t2w"] as const satisfies readonly KnownColumn[];

/** What each column of an image, a mask or a label holds, in words that follow "it has no". */
export const columnWords = {
  t2w: "T2W volume",
  adc: "ADC",
  hbv: "high-b image",
  gland: "gland mask",
  zones: "zones mask",
  lesion: "lesion mask",
  rectum: "rectum mask",
  pirads: "PI-RADS",
} as const satisfies Record<Exclude<KnownColumn, "case" | "patient">, string>;

export type ColumnOfNeed = keyof typeof columnWords;

/** Far more columns than any cohort has, and longer names; a file with more is something else. */
export const mostColumns = 10_000;
export const longestColumnName = 200;

/** A column whose name begins so is never taken for one that is misspelt. */
const ownPrefix = "extra_";

/**
 * How else people call these columns, without capitals and anything but letters and digits. No alias is a name that a
 * cohort's list has for something else: `scanner`, `session` and `age` are nobody's.
 */
const aliases: Record<KnownColumn, readonly string[]> = {
  case: ["cases", "id"],
  patient: ["patients", "pat", "pid", "subject", "subjects", "sub", "participant", "person", "mrn"],
  pirads: ["rads", "pirad", "maxpirads", "highestpirads"],
  t2w: [
    "t2",
    "t2wi",
    "t2weighted",
    "t2wimage",
    "t2tse",
    "tset2",
    "t2ax",
    "axt2",
    "axialt2",
    "t2axial",
    "t2tra",
    "trat2",
  ],
  adc: ["apparentdiffusioncoefficient"],
  hbv: [
    ...[
      "hb",
      "highb",
      "highbvalue",
      "highbdwi",
      "highbval",
      "dwihighb",
      "bhigh",
      "hbval",
      "hbvalue",
      "hbdwi",
    ],
    ...["dwi", "highbimage", "b800", "b1000", "b1400", "b1500", "b2000"],
  ],
  gland: ["glands", "prostate", "prostategland", "wholegland", "wg"],
  zones: ["zone", "zonal", "zonalanatomy", "prostatezones"],
  lesion: ["lesions", "tumour", "tumor", "tumours", "tumors", "indexlesion"],
  rectum: ["rectal"],
};

const ofFiles = ["path", "file", "gz", "mri", "mr", "filename", "filepath", "nii", "nifti", "mha", "nrrd"];
const ofImages = [...ofFiles, "image", "img", "scan", "series", "axial", "ax", "tra", "sequence"];
const ofMasks = [
  ...ofFiles,
  "gt",
  "groundtruth",
  "manual",
  "binary",
  "bin",
  "mask",
  "masks",
  "seg",
  "segm",
  "segmentation",
  "label",
  "labels",
  "contour",
  "roi",
  "annotation",
];
const ofPersons = [
  "id",
  "ids",
  "num",
  "index",
  "idx",
  "hash",
  "pseudonym",
  "uid",
  "no",
  "nr",
  "number",
  "name",
  "key",
  "code",
  "identifier",
];
const ofScores = [
  "score",
  "highest",
  "maximum",
  "max",
  "category",
  "overall",
  "grade",
  "assessment",
  "final",
  "version",
  "v1",
  "v2",
  "v21",
  "case",
];

/** Words that people add to a name without changing what it means. */
const additions: Record<KnownColumn, readonly string[]> = {
  case: ofPersons,
  patient: ofPersons,
  pirads: ofScores,
  t2w: ofImages,
  adc: [...ofImages, "map"],
  hbv: [...ofImages, "highb", "b800", "b1000", "b1400", "b1500", "b2000"],
  gland: ofMasks,
  zones: ofMasks,
  lesion: ofMasks,
  rectum: ofMasks,
};

/** Letters and digits alone, small: `PI-RADS` and `pi_rads` are one name. */
const plain = (name: string): string => name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

/** The words of a name: `PatientID`, `patient_id` and `Patient ID` have the same two. */
const wordsOf = (name: string): string[] =>
  name
    .replace(/(\p{Ll}|\p{N})(\p{Lu})/gu, "$1 $2")
    .replace(/(\p{Lu})(\p{Lu}\p{Ll})/gu, "$1 $2")
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== "");

/**
 * The known column that a name is another writing of, or a misspelling: `patient_id`, `PI-RADS`, `lesion_mask`,
 * `lesoin`. Null for a column of the cohort's own, such as `age`, and for one that is exactly right.
 */
export function meantColumn(name: string): KnownColumn | null {
  if (name.startsWith(ownPrefix) || (knownColumns as readonly string[]).includes(name)) return null;
  const whole = plain(name);
  const words = wordsOf(name);
  return (
    knownColumns.find((column) => {
      const kept = words.filter((word) => !additions[column].includes(word) && !/^\d+$/.test(word)).join("");
      const names = [column, ...aliases[column]];
      return (
        names.includes(whole) ||
        names.includes(kept) ||
        isSlip(whole, column) ||
        isSlip(kept, column) ||
        (column === "patient" && isPatientsId(words)) ||
        names.some((known) => isWithAddition(whole, known, additions[column]))
      );
    }) ?? null
  );
}

/** `hospital_patient_id`: whatever stands before it, a patient's id is what must not be lost. */
const isPatientsId = (words: readonly string[]): boolean =>
  ["patient", "subject", "participant"].includes(words.at(-2) ?? "") &&
  ofPersons.includes(words.at(-1) ?? "");

/** `patientid`, `patientno2`, `maskgland`: a name and an addition without anything between them. */
const isWithAddition = (word: string, known: string, added: readonly string[]): boolean =>
  (word.startsWith(known) && added.includes(word.slice(known.length).replace(/\d+$/, ""))) ||
  (word.endsWith(known) && added.includes(word.slice(0, word.length - known.length)));

/**
 * Whether a word is a column's name with one slip of the hand: two letters swapped; in names of five letters or more also
 * a letter too many, too few or wrong. Shorter names have neighbours of their own: `t1w` is not T2W.
 */
function isSlip(word: string, column: string): boolean {
  if (Math.abs(word.length - column.length) > 1 || word === column) return false;
  let start = 0;
  while (start < word.length && word[start] === column[start]) start++;
  let end = 0;
  while (end < Math.min(word.length, column.length) - start && word.at(-1 - end) === column.at(-1 - end))
    end++;
  const left = word.slice(start, word.length - end);
  const right = column.slice(start, column.length - end);
  if (left.length === 2 && right.length === 2 && left[0] === right[1] && left[1] === right[0]) return true;
  return column.length >= 5 && left.length <= 1 && right.length <= 1;
}

/** What is wrong with the names of a manifest's columns. */
export function columnFaults(columns: readonly string[]): string[] {
  const faults: string[] = [];
  const seen = new Set<string>();
  const there = new Set<string>(columns);
  for (const [index, column] of columns.entries()) {
    if (column === "") faults.push(`column ${index + 1} has no name`);
    else if (column.length > longestColumnName)
      faults.push(
        `column ${index + 1} has a name of ${column.length} characters, ${describe(column)}; expected at most ${longestColumnName}`,
      );
    else if (seen.has(column)) faults.push(`column ${describe(column)} stands there twice`);
    seen.add(column);
  }
  if (faults.length > 0) return faults;

  const meant = columns.flatMap((column) => {
    const name = meantColumn(column);
    return name === null ? [] : [{ column, name }];
  });
  for (const required of requiredColumns) {
    if (there.has(required)) continue;
    const near = meant.find(({ name }) => name === required)?.column;
    faults.push(
      `column ${describe(required)} is missing${near === undefined ? "" : `: is it the one named ${describe(near)}?`}; ` +
        `columns there: ${listed(columns)}`,
    );
  }
  for (const { column, name } of meant) {
    // Beside the right one it is a column of the cohort's own, unless it is the same name in another writing.
    const isTwice = there.has(name) && plain(column) === name;
    if ((requiredColumns as readonly string[]).includes(name) && !there.has(name)) continue;
    if (there.has(name) && !isTwice) continue;
    faults.push(
      `column ${describe(column)}: expected ${describe(name)}, the name of the column ${meaning[name]}` +
        `${isTwice ? ", which stands there too" : ""}. Rename it; where it is something else, call it ` +
        `${describe(`${ownPrefix}${plain(column)}`)}`,
    );
  }
  return faults;
}

const isUnknown = (column: string): boolean => !(knownColumns as readonly string[]).includes(column);

/** The columns that nobody takes: kept, and without any effect. */
export const untakenColumns = (columns: readonly string[]): string[] => columns.filter(isUnknown);

/** The first of many names, as a message can hold them. */
const listed = (columns: readonly string[]): string =>
  columns.slice(0, 30).map(describe).join(", ") +
  (columns.length > 30 ? ` and ${columns.length - 30} more` : "");

/** What a column is for, in words that follow "the column". */
const meaning: Record<KnownColumn, string> = {
  case: "of the case's id",
  patient:
    "of whose case it is, without which the cases of one patient would be spread over training and test",
  pirads: "of PI-RADS",
  t2w: "of T2W images",
  adc: "of ADC images",
  hbv: "of high-b images",
  gland: "of gland masks",
  zones: "of zone masks",
  lesion: "of lesion masks",
  rectum: "of rectum masks",
};
