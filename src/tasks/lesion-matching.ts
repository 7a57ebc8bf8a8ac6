import type { FoundInCase } from "./drawn-metrics.js";

/** Candidates and lesions of one case, with what they have in common. */
export interface Found {
  candidates: readonly { confidence: number; voxels: number }[];
  /** Voxels of each lesion. */
  lesions: readonly number[];
  /** Of each pair with a voxel in common, both counted from 0. */
  overlaps: readonly { candidate: number; lesion: number; voxels: number }[];
}

/**
 * Which candidates hit which lesions, one to one: pairs whose intersection over union is large enough, so that as many as
 * possible are hit, and then so that they overlap as much as possible. As in the PI-CAI challenge, a candidate that overlaps
 * enough with a lesion which another one hits is neither a hit nor a false positive.
 *
 * @param leastOverlap intersection over union from which on a candidate hits a lesion, above 0
 */
export function matchLesions({ candidates, lesions, overlaps }: Found, leastOverlap: number): FoundInCase {
  const pairs = overlaps.flatMap(({ candidate, lesion, voxels }) => {
    const union = (candidates[candidate]?.voxels ?? 0) + (lesions[lesion] ?? 0) - voxels;
    const overlap = voxels / union;
    return overlap >= leastOverlap ? [{ candidate, lesion, overlap }] : [];
  });
  const near = [...new Set(pairs.map(({ candidate }) => candidate))];
  const worth = lesions.map((_, lesion) =>
    near.map((candidate) => {
      const pair = pairs.find((one) => one.lesion === lesion && one.candidate === candidate);
      return pair === undefined ? 0 : 1 + pair.overlap;
    }),
  );
  const hits = new Set(
    bestAssignment(worth).flatMap((column, lesion) =>
      column !== null && (worth[lesion]?.[column] ?? 0) > 0 ? [near[column] as number] : [],
    ),
  );
  return {
    candidates: candidates.flatMap(({ confidence }, index) => {
      const hit = hits.has(index);
      return hit || !near.includes(index) ? [{ confidence, hit }] : [];
    }),
    lesions: lesions.length,
  };
}

/**
 * For each row a column of its own, or none, so that the sum of their worths is largest: Kuhn's Hungarian method with
 * potentials, row by row along shortest augmenting paths.
 *
 * @param worth [rows][columns], from 0 on
 */
export function bestAssignment(worth: readonly (readonly number[])[]): (number | null)[] {
  const rows = worth.length;
  const real = worth[0]?.length ?? 0;
  const columns = real + rows; // one for each row to be left alone
  const cost = (row: number, column: number) => -(worth[row]?.[column] ?? 0);
  // Counted from 1: 0 is where a path begins.
  const ofRows = new Float64Array(rows + 1);
  const ofColumns = new Float64Array(columns + 1);
  const rowOf = new Int32Array(columns + 1);
  const before = new Int32Array(columns + 1);
  for (let row = 1; row <= rows; row++) {
    const shortest = new Float64Array(columns + 1).fill(Number.POSITIVE_INFINITY);
    const isDone = new Uint8Array(columns + 1);
    let column = 0;
    rowOf[0] = row;
    do {
      isDone[column] = 1;
      const at = rowOf[column] as number;
      let [step, next] = [Number.POSITIVE_INFINITY, 0];
      for (let other = 1; other <= columns; other++) {
        if (isDone[other]) continue;
        const reduced = cost(at - 1, other - 1) - (ofRows[at] as number) - (ofColumns[other] as number);
        if (reduced < (shortest[other] as number)) {
          shortest[other] = reduced;
          before[other] = column;
        }
        if ((shortest[other] as number) < step) [step, next] = [shortest[other] as number, other];
      }
      for (let other = 0; other <= columns; other++) {
        if (isDone[other]) {
          const own = rowOf[other] as number;
          ofRows[own] = (ofRows[own] as number) + step;
          ofColumns[other] = (ofColumns[other] as number) - step;
        } else shortest[other] = (shortest[other] as number) - step;
      }
      column = next;
    } while (rowOf[column] !== 0);
    for (; column !== 0; column = before[column] as number)
      rowOf[column] = rowOf[before[column] as number] as number;
  }
  const found: (number | null)[] = worth.map(() => null);
  for (let column = 1; column <= real; column++)
    if (rowOf[column]) found[(rowOf[column] as number) - 1] = column - 1;
  return found;
}
