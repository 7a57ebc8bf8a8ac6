import type { CellResult } from "../results/cell.js";
import type { DifferenceTest, Table } from "./break-even.js";
import { specificityOfResamples } from "./classification-intervals.js";
import { fewestSeeds, labelledScores, sensitivityOf } from "./specificity-claim.js";

/** Enough for an interval of 95 %; each takes a specificity of every training. */
const resamples = 600;

/**
 * Learning curves of the specificity at a sensitivity, which is no mean over patients: each table has one row, whose first
 * column is the specificity of a level, the mean over its seeds, and whose others are the same of patients and seeds that
 * were drawn anew, the same ones in every table.
 *
 * @param lists the cells of each table, one a seed, the same seeds in all
 * @returns null for another metric, fewer than three seeds, too few patients, and results that do not say what is positive
 */
export function specificityTables(
  lists: readonly (readonly CellResult[])[],
): { tables: Table[]; test: DifferenceTest } | null {
  const [first = []] = lists;
  const sensitivity = sensitivityOf(first[0]?.metric.name ?? "");
  if (sensitivity === null || first.length < fewestSeeds) return null;
  const known = labelledScores(lists.flat());
  if (known === null) return null;
  const seeds = first.length;
  const scores = lists.map((_, list) => known.scores.slice(list * seeds, (list + 1) * seeds));
  const found = specificityOfResamples({ ...known, scores }, { sensitivity, resamples });
  if (found === null) return null;
  const tables = scores.map((_, list) => [
    [found.estimate[list] as number, ...found.drawn.map((values) => values[list] as number)],
  ]);
  return { tables, test: testOfResamples(Math.sqrt(seeds / (seeds - 1))) };
}

/**
 * Twice the smaller share of resamples on either side of no difference: below 0.05 where the middle 95 % of them leaves it
 * out. Means of S drawn seeds vary by (S - 1) / S of what they should, so that resamples are moved away from the estimate.
 */
const testOfResamples =
  (widened: number): DifferenceTest =>
  ([first = []], [second = []]) => {
    const differences = first.map((value, index) => value - (second[index] as number));
    const [estimate = 0, ...drawn] = differences;
    const moved = drawn.map((value) => estimate + widened * (value - estimate));
    const share = (is: (value: number) => boolean) => moved.filter(is).length / moved.length;
    return {
      estimate,
      p: Math.min(
        1,
        2 *
          Math.min(
            share((value) => value <= 0),
            share((value) => value >= 0),
          ),
      ),
    };
  };
