/**
 * How much of a large study the page shows, so that its size and the time to draw it stay bounded whatever comes in.
 * What is left out is said where it would stand; the files beside the page hold all of it.
 */
export const limits = {
  /** Foundation models that figures and pictures show. */
  models: 12,
  /** Foundation models whose answer stands on the first screen. */
  answers: 8,
  /** Rows of a table. */
  rows: 200,
  /** Lines of a list on the first screen at once, and folded beneath it. */
  lines: 8,
  foldedLines: 100,
  /** Names in a sentence. */
  names: 5,
  /** Points that one line of a curve is drawn from. */
  curvePoints: 400,
  /** Seeds whose curves are drawn. */
  seeds: 8,
  /** Cases that a panel draws as points. */
  cases: 400,
  /** Characters of a text file that the page quotes. */
  quoted: 60_000,
} as const;

/** The first of a list, and how many more there are. */
export function first<Item>(items: readonly Item[], most: number): { shown: readonly Item[]; more: number } {
  return items.length <= most
    ? { shown: items, more: 0 }
    : { shown: items.slice(0, most), more: items.length - most };
}
