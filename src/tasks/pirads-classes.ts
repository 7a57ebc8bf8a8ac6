/** PI-RADS 1 and 2 are one class: neither is biopsied, and the paper has four. */
export const classOf = (pirads: number): number => Math.max(0, pirads - 2);
export const piradsClasses = 4;
