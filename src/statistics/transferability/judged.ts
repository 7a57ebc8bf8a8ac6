import { average } from "../../common/numbers.js";
import type { Classes } from "./rows.js";

/** The mean over classes of the share of their rows that were answered right. */
export function balancedAccuracy(answered: ArrayLike<number>, { count, of, sizes }: Classes): number {
  const right = new Array<number>(count).fill(0);
  for (const [row, own] of of.entries()) if (answered[row] === own) right[own] = (right[own] as number) + 1;
  return right.reduce((sum, one, index) => sum + one / (sizes[index] as number), 0) / count;
}

/** 1 less the squared error over that of the targets' mean; NaN where all targets are the same. */
export function explained(answered: ArrayLike<number>, targets: readonly number[]): number {
  const mean = average(targets);
  let [error, spread] = [0, 0];
  for (const [row, target] of targets.entries()) {
    error += ((answered[row] as number) - target) ** 2;
    spread += (target - mean) ** 2;
  }
  return spread > 0 ? 1 - error / spread : Number.NaN;
}
