import { type ColumnOfNeed, columnWords, type VolumeRole } from "./columns.js";

/** What a task, or a pretraining, cannot do without: of these columns of the manifest, a case must have one. */
export interface Need {
  oneOf: readonly [ColumnOfNeed, ...ColumnOfNeed[]];
  /** It is a mask that must show something in the crop. */
  shown?: true;
  /** What a user can do about a case without it, other than to fill the column. */
  mend?: string;
}

/** What is known of a case without opening a volume. */
export interface CaseFacts {
  readonly roles: readonly VolumeRole[];
  /** Masks among them that show nothing; absent where there is none, or where nobody has looked yet. */
  readonly emptyMasks?: readonly VolumeRole[];
  /** 1 to 5; null where unknown. */
  readonly pirads: number | null;
}

const has = ({ roles, pirads }: CaseFacts, column: ColumnOfNeed): boolean =>
  column === "pirads" ? pirads !== null : roles.includes(column);

/** Whether a case has a mask that shows anything: one may be empty, or its crop. */
export const shows = ({ roles, emptyMasks = [] }: CaseFacts, role: VolumeRole): boolean =>
  roles.includes(role) && !emptyMasks.includes(role);

const isMet = (facts: CaseFacts, { oneOf, shown }: Need): boolean =>
  oneOf.some((column) => (shown && column !== "pirads" ? shows(facts, column) : has(facts, column)));

/** The first of these needs that a case does not meet; null where it has all that is needed. */
export const unmetNeed = (needs: readonly Need[], facts: CaseFacts): Need | null =>
  needs.find((need) => !isMet(facts, need)) ?? null;

/** Why a case does not do, in words that follow its name; null where it has all that is needed. */
export function lackOf(needs: readonly Need[], facts: CaseFacts): string | null {
  const need = unmetNeed(needs, facts);
  if (need === null) return null;
  const { oneOf, shown, mend } = need;
  const [first, ...others] = oneOf;
  const words = oneOf.map((column) => columnWords[column]);
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
