import { sumOf } from "../common/numbers.js";
import { permutedKernelSums } from "../native/kernels.js";
import { Tensor } from "../native/tensor.js";

/** Of more cases the noise that a distance has from them is next to none, and the work would grow with their square. */
const mostCases = 1_000;

/**
 * What each case adds to the paper's MMD² (biased) of two networks' features of the same cases: `share[i]` is the mean over
 * cases j of k(a_i, a_j) + k(b_i, b_j) − k(a_i, b_j) − k(b_i, a_j), so that the mean of all shares is MMD². Of cases drawn
 * anew, weighing w_i / N instead of 1 / N, MMD² becomes about MMD² + 2 Σ (w_i − 1) / N (share[i] − MMD²): its first-order
 * term, as MMD² is a mean over pairs.
 *
 * Turning the features of one case round (its a for its b) turns the sign of all pairs that it is in; what MMD²'s sum loses
 * by that is four times the case's. All cases are turned round from the same tiles of kernel values. What a case has with
 * itself is taken to be the same for all: it is one of N pairs.
 *
 * @param biased MMD² of both
 * @returns null for fewer than three cases or more than 1,000
 */
export async function sharesOfCases(
  a: Tensor,
  b: Tensor,
  { sigma, biased }: { sigma: number; biased: number },
  signal?: AbortSignal,
): Promise<number[] | null> {
  const [cases = 0] = a.shape;
  if (cases < 3 || cases > mostCases) return null;
  const rows = 2 * cases;
  // The first division is the one given, the others have one case turned round.
  const divisions = new Uint8Array((cases + 1) * rows);
  for (let division = 0; division <= cases; division++) {
    const from = division * rows;
    divisions.fill(1, from, from + cases);
    if (division === 0) continue;
    divisions[from + division - 1] = 0;
    divisions[from + cases + division - 1] = 1;
  }
  using members = Tensor.from(divisions, [cases + 1, rows]);
  const sums = await permutedKernelSums(a, b, sigma, members, signal);
  const total = (division: number) =>
    (sums.sumAA[division] as number) +
    (sums.sumBB[division] as number) -
    2 * (sums.sumAB[division] as number);
  const given = total(0);
  const withOthers = Array.from({ length: cases }, (_, i) => (given - total(i + 1)) / 4);
  const itself = cases * biased - sumOf(withOthers) / cases;
  return withOthers.map((value) => (value + itself) / cases);
}
