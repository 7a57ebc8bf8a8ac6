import type { CaseLabels } from "../cohort/columns.js";

/** A case's highest PI-RADS, 1 to 5; null where it is not known. */
export const piradsOf = ({ pirads = null }: CaseLabels): number | null =>
  pirads === null ? null : Number(pirads);

/** PI-RADS 1 and 2 are one class: neither is biopsied, and the paper has four. */
export const classOf = (pirads: number): number => Math.max(0, pirads - 2);
export const piradsClasses = 4;
