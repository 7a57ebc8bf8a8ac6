import { describe } from "../common/errors.js";
import { ofPersons } from "./column-words.js";

/** A column of images or masks of a cohort, by its name. @useDeclaredType */
export type VolumeRole = string;
/** A column of masks of a cohort, by its name. @useDeclaredType */
export type MaskRole = string;

/** What a label says of a case: a number, or one of its classes. Null: it follows from a mask that nobody has read yet. */
export type LabelValue = number | string | null;
/** The labels of a case; one that is not known is not there. */
export type CaseLabels = Readonly<Record<string, LabelValue>>;

/** A column of a manifest that means something. */
export interface Column {
  /** What it holds, in words that follow "it has no". */
  words: string;
  /** What it is for, in words that follow "the column". */
  meaning: string;
  /** How else people call it, without capitals and anything but letters and digits. */
  aliases: readonly string[];
  /** Words that people add to its name without changing what it means. */
  additions: readonly string[];
}

/** A column of masks. */
export interface MaskColumn extends Column {
  /** What each label is, where the mask has several; absent: any label is foreground. */
  labels?: Readonly<Record<number, string>>;
  /** A mask with a label beside these is refused. */
  closed?: true;
  /** The mask of the organ that this is a part of. */
  partOf?: MaskRole;
}

/** A column of labels, or a label that follows from a mask. */
export type LabelColumn = Column & {
  /** What may stand there, for messages. */
  values: string;
  /** The mask whose volume in mm³ it is of, all of its labels or those named; absent: a column of the manifest holds it. */
  volumeOf?: { mask: MaskRole; labels?: readonly number[] };
} & (
    | { kind: "number" }
    | {
        kind: "class";
        classes: readonly (number | string)[];
        ordered: boolean;
        /** Of a volume: where one class ends and the next begins, rising. */
        thresholds?: readonly number[];
      }
  );

/** The columns of a cohort, of which each name stands for one thing alone. */
export interface CohortColumns {
  /** By name, the first of them shown first where a network takes several. */
  images: Readonly<Record<string, Column>>;
  /** The image onto whose axes the others and the masks are brought. */
  reference: string;
  masks: Readonly<Record<string, MaskColumn>>;
  labels: Readonly<Record<string, LabelColumn>>;
  /** The label whose mix every set keeps when patients are divided; null: none. */
  stratify: string | null;
  /** The mask that a crop is around unless a study says otherwise, or `centre`. */
  around: string;
  /** In mm, what an edge of a field of view may be, and what is usual. */
  fieldOfView: { least: number; most: number; usual?: string };
}

/** Names of the images of a cohort, then of its masks. */
export const volumeRolesOf = ({ images, masks }: Pick<CohortColumns, "images" | "masks">): VolumeRole[] => [
  ...Object.keys(images),
  ...Object.keys(masks),
];

/** What every cohort has. */
const common: Readonly<Record<"case" | "patient", Pick<Column, "meaning" | "aliases" | "additions">>> = {
  case: { meaning: "of the case's id", aliases: ["cases", "id"], additions: ofPersons },
  patient: {
    meaning:
      "of whose case it is, without which the cases of one patient would be spread over training and test",
    aliases: ["patients", "pat", "pid", "subject", "subjects", "sub", "participant", "person", "mrn"],
    additions: ofPersons,
  },
};

/** The columns of a manifest that mean something: what stands there by name. */
const knownOf = ({
  images,
  masks,
  labels,
}: CohortColumns): Map<string, Pick<Column, "meaning" | "aliases" | "additions">> =>
  new Map([
    ...Object.entries(common),
    ...Object.entries(labels).filter(([, { volumeOf }]) => volumeOf === undefined),
    ...Object.entries(images),
    ...Object.entries(masks),
  ]);

/** The names of the columns of a manifest that mean something. */
export const knownColumns = (columns: CohortColumns): string[] => [...knownOf(columns).keys()];

/** Those that a manifest cannot do without. */
export const requiredColumns = ({ reference }: CohortColumns): string[] => ["case", reference];

/** Far more columns than any cohort has, and longer names; a file with more is something else. */
export const mostColumns = 10_000;
export const longestColumnName = 200;

/** A column whose name begins so is never taken for one that is misspelt. */
const ownPrefix = "extra_";

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
 * The column of a cohort that a name is another writing of, or a misspelling: `patient_id`, `PI-RADS`, `lesion_mask`,
 * `lesoin`. Null for a column of the cohort's own, such as `age`, and for one that is exactly right.
 */
export function meantColumn(name: string, columns: CohortColumns): string | null {
  const known = knownOf(columns);
  if (name.startsWith(ownPrefix) || known.has(name)) return null;
  const whole = plain(name);
  const words = wordsOf(name);
  for (const [column, { aliases, additions }] of known) {
    const kept = words.filter((word) => !additions.includes(word) && !/^\d+$/.test(word)).join("");
    const own = plain(column);
    const names = [own, ...aliases];
    if (
      names.includes(whole) ||
      names.includes(kept) ||
      isSlip(whole, own) ||
      isSlip(kept, own) ||
      (column === "patient" && isPatientsId(words)) ||
      names.some((one) => isWithAddition(whole, one, additions))
    )
      return column;
  }
  return null;
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
export function columnFaults(columns: readonly string[], ofCohort: CohortColumns): string[] {
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
    const name = meantColumn(column, ofCohort);
    return name === null ? [] : [{ column, name }];
  });
  const wanted = requiredColumns(ofCohort);
  const known = knownOf(ofCohort);
  for (const required of wanted) {
    if (there.has(required)) continue;
    const near = meant.find(({ name }) => name === required)?.column;
    faults.push(
      `column ${describe(required)} is missing${near === undefined ? "" : `: is it the one named ${describe(near)}?`}; ` +
        `columns there: ${listed(columns)}`,
    );
  }
  for (const { column, name } of meant) {
    // Beside the right one it is a column of the cohort's own, unless it is the same name in another writing.
    const isTwice = there.has(name) && plain(column) === plain(name);
    if (wanted.includes(name) && !there.has(name)) continue;
    if (there.has(name) && !isTwice) continue;
    faults.push(
      `column ${describe(column)}: expected ${describe(name)}, the name of the column ${known.get(name)?.meaning}` +
        `${isTwice ? ", which stands there too" : ""}. Rename it; where it is something else, call it ` +
        `${describe(`${ownPrefix}${plain(column)}`)}`,
    );
  }
  return faults;
}

/** The columns that nobody takes: kept, and without any effect. */
export function untakenColumns(columns: readonly string[], ofCohort: CohortColumns): string[] {
  const known = knownOf(ofCohort);
  return columns.filter((column) => !known.has(column));
}

/** The first of many names, as a message can hold them. */
const listed = (columns: readonly string[]): string =>
  columns.slice(0, 30).map(describe).join(", ") +
  (columns.length > 30 ? ` and ${columns.length - 30} more` : "");
