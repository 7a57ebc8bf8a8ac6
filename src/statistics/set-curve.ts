import { average } from "../common/numbers.js";
import type { CellResult } from "../results/cell.js";
import type { DifferenceTest, Table } from "./break-even.js";
import { drawnTables } from "./patient-bootstrap.js";
import { fewestSeeds, metricOfCells } from "./set-claim.js";
import { type SetSpread, setDifference, setSpread } from "./set-difference.js";

/** Enough for an interval of 95 %; each takes the metric of every training. */
const resamples = 600;

/**
 * Learning curves of a metric that is no mean over patients: each table has a row a seed, whose first column is the metric of a
 * level and whose others are the same of patients that were drawn anew, the same ones in every table.
 *
 * @param lists the cells of each table, one a seed, the same seeds in all
 * @returns null for another metric, fewer than three seeds, too few patients, and results that do not say what it takes
 */
export function setTables(
  lists: readonly (readonly CellResult[])[],
): { tables: Table[]; test: DifferenceTest } | null {
  const [first = []] = lists;
  if (first.length < fewestSeeds) return null;
  const known = metricOfCells(lists.flat(), first[0]?.metric.name ?? "");
  if (known === null) return null;
  const seeds = first.length;
  const methods = lists.map((_, list) => known.drawn.slice(list * seeds, (list + 1) * seeds));
  const { tables, fewest } = drawnTables(methods, known, { resamples });
  return (tables[0]?.[0]?.length ?? 0) < 3 ? null : { tables, test: testOfResamples(fewest) };
}

/** As that of a claim. */
const testOfResamples =
  (fewest: number): DifferenceTest =>
  (first, second) => {
    const differences = first.map((row, seed) =>
      row.map((value, i) => value - (second[seed]?.[i] as number)),
    );
    const columns = (differences[0] ?? []).map((_, i) => differences.map((row) => row[i] as number));
    const [bySeed, ...drawn] = columns as [number[], ...number[][]];
    const { estimate, p } = setDifference(average(bySeed), setSpread(bySeed, drawn, fewest) as SetSpread);
    return { estimate, p };
  };
