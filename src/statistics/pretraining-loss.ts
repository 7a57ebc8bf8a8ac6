import type { EpochRecord } from "../results/cell.js";

/** A loss that has fallen by less than this share of where it began has not fallen. */
const leastFall = 0.01;

/**
 * Where the training loss of a pretraining ended no lower than it began, its means over the first and the last fifth of the
 * epochs (null where not finite); null where it fell, and of a single epoch, which tells nothing.
 */
export function notFallen({
  curve,
}: {
  curve: readonly EpochRecord[];
}): { first: number | null; last: number | null } | null {
  if (curve.length < 2) return null;
  const part = Math.max(1, Math.floor(curve.length / 5));
  const mean = (epochs: readonly EpochRecord[]) =>
    epochs.reduce((sum, { trainingLoss }) => sum + trainingLoss, 0) / epochs.length;
  const [first, last] = [mean(curve.slice(0, part)), mean(curve.slice(-part))];
  if (first - last >= leastFall * Math.abs(first)) return null;
  const finite = (value: number) => (Number.isFinite(value) ? value : null);
  return { first: finite(first), last: finite(last) };
}
