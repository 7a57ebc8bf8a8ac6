import type { CaseLabels, MaskRole, VolumeRole } from "./columns.js";
import { prostateColumns } from "./presets/prostate.js";

/** What a task, or a pretraining, cannot do without: of these columns of the manifest, a case must have one. */
export interface Need {
  oneOf: readonly [string, ...string[]];
  /** What such a column holds; default: an image. */
  holds?: "image" | "mask" | "label";
  /** It is a mask that must show something in the crop. */
  shown?: true;
  /** What it is for, in words that follow "which" and the task's name; default: "needs". */
  use?: string;
  /** What a user can do about a case without it, other than to fill the column. */
  mend?: string;
}

/** What is known of a case without opening a volume. */
export interface CaseFacts {
  readonly roles: readonly VolumeRole[];
  /** Masks among them that show nothing; absent where there is none, or where nobody has looked yet. */
  readonly emptyMasks?: readonly MaskRole[];
  readonly labels: CaseLabels;
}

const words: Readonly<Record<string, string>> = Object.fromEntries(
  [prostateColumns.images, prostateColumns.masks, prostateColumns.labels].flatMap((columns) =>
    Object.entries(columns).map(([name, column]) => [name, column.words]),
  ),
);

/** What a column holds, in words that follow "it has no": one that is called as the prostate's is takes its words. */
export const wordsOfColumn = (column: string, holds: Need["holds"] = "image"): string =>
  words[column] ?? (holds === "label" ? `label ${column}` : `${column} ${holds}`);

const has = ({ roles, labels }: CaseFacts, column: string): boolean =>
  roles.includes(column) || Object.hasOwn(labels, column);

/** Whether a case has a mask that shows anything: one may be empty, or its crop. */
export const shows = ({ roles, emptyMasks = [] }: CaseFacts, role: MaskRole): boolean =>
  roles.includes(role) && !emptyMasks.includes(role);

const isMet = (facts: CaseFacts, { oneOf, shown }: Need): boolean =>
  oneOf.some((column) => (shown ? shows(facts, column) : has(facts, column)));

/** The first of these needs that a case does not meet; null where it has all that is needed. */
export const unmetNeed = (needs: readonly Need[], facts: CaseFacts): Need | null =>
  needs.find((need) => !isMet(facts, need)) ?? null;

/** Why a case does not do, in words that follow its name; null where it has all that is needed. */
export function lackOf(needs: readonly Need[], facts: CaseFacts): string | null {
  const need = unmetNeed(needs, facts);
  if (need === null) return null;
  const { oneOf, shown, mend, holds } = need;
  const [first, ...others] = oneOf;
  const words = oneOf.map((column) => wordsOfColumn(column, holds));
  const lack =
    others.length > 0
      ? shown
        ? `neither ${words.map((word) => `a ${word}`).join(" nor ")} shows anything in the crop`
        : `it has neither ${words.join(" nor ")}`
      : has(facts, first)
        ? `its ${words[0]} is empty in the crop`
        : `it has no ${words[0]}`;
  return mend === undefined ? lack : `${lack}: ${mend}`;
}
