import { requireArrayLike, requireFinite, requireNumbers, requireOptions } from "../common/arguments.js";
import { expected, TransferLimitsError } from "../common/errors.js";
import { foregroundAbove } from "../common/foreground.js";
import { average, sumOf } from "../common/numbers.js";
import { ssim3d as nativeSsim3d, overlap } from "../native/kernels.js";
import { type ShapedArray, withTensors } from "../native/temporary.js";
import type { Tensor } from "../native/tensor.js";

/**
 * Structural similarity of volumes (Wang et al. 2004): Gaussian window of 11 voxels a side with sigma 1.5, K1 0.01,
 * K2 0.03, population covariance, float64; the mean over the windows that lie fully inside, channels and samples.
 *
 * @param a a tensor, or `{ data, shape }`, of shape [D, H, W] or [N, C, D, H, W], every spatial size at least 11
 * @param b the same shape
 * @param options.dataRange width of the range of possible values; default 1
 * @throws `BAD_INPUT` for shapes that do not fit or values that are not finite
 */
export async function ssim3d(
  a: Tensor | ShapedArray,
  b: Tensor | ShapedArray,
  options: { dataRange?: number } = {},
): Promise<number> {
  requireOptions(options);
  const dataRange = options.dataRange ?? 1;
  if (!(Number.isFinite(dataRange) && dataRange > 0))
    throw expected("a positive number", "dataRange", dataRange);
  const samples = await withTensors({ a, b }, (x, y) => nativeSsim3d(x as Tensor, y as Tensor, dataRange));
  const mean = average(samples);
  if (Number.isFinite(mean)) return mean;
  throw new TransferLimitsError("BAD_INPUT", "Expected finite voxels for SSIM but received NaN or infinity");
}

/** What counts as predicted, and what an empty case scores. */
export interface DiceOptions {
  /** A voxel is predicted where the prediction lies above this: 0.5 for probabilities, 0 for logits. Default 0.5. */
  threshold?: number;
  /** The answer where prediction and target are both empty. Default 1: nothing was to be found, and nothing was. */
  empty?: number;
}

/**
 * Dice's coefficient 2 |P ∩ T| / (|P| + |T|) of one sample, P where `prediction > threshold`, T where `target > 0.5`.
 *
 * @throws `BAD_INPUT` when the lengths differ
 *
 * @example
 * import { metrics } from "transfer-limits";
 *
 * console.log(metrics.dice([0.9, 0.2, 0.7], [1, 1, 0])); // 0.5
 */
export function dice(
  prediction: ArrayLike<number>,
  target: ArrayLike<number>,
  options: DiceOptions = {},
): number {
  requireSameLength("prediction", prediction, "target", target);
  requireNumbers(prediction, "prediction");
  requireNumbers(target, "target");
  const threshold = thresholdOf(options);
  const counts = { intersection: 0, prediction: 0, target: 0 };
  for (let i = 0; i < prediction.length; i++) {
    const predicted = (prediction[i] as number) > threshold;
    const wanted = (target[i] as number) > foregroundAbove;
    if (predicted) counts.prediction++;
    if (wanted) counts.target++;
    if (predicted && wanted) counts.intersection++;
  }
  return diceFrom(counts, options.empty);
}

/**
 * `dice` of each sample (first dimension) of two tensors of one shape, counted on their device.
 *
 * @throws `BAD_INPUT` for tensors of two shapes, types or devices
 */
export async function diceOf(
  prediction: Tensor,
  target: Tensor,
  options: DiceOptions = {},
): Promise<number[]> {
  const counts = await overlap(prediction, target, thresholdOf(options));
  return counts.map((sample) => diceFrom(sample, options.empty));
}

function thresholdOf(options: DiceOptions): number {
  requireOptions(options);
  const { threshold = 0.5, empty } = options;
  requireFinite(threshold, "threshold");
  if (empty !== undefined && typeof empty !== "number") throw expected("a number", "empty", empty);
  return threshold;
}

/**
 * Dice's coefficient from voxel counts; `empty` where there is nothing in either.
 *
 * @throws `BAD_INPUT` for a count that is no finite number
 */
export function diceFrom(
  counts: { intersection: number; prediction: number; target: number },
  empty = 1,
): number {
  requireOptions(counts, "counts");
  for (const name of ["intersection", "prediction", "target"] as const)
    requireFinite(counts[name], `counts.${name}`);
  if (typeof empty !== "number") throw expected("a number", "empty", empty);
  const total = counts.prediction + counts.target;
  return total === 0 ? empty : (2 * counts.intersection) / total;
}

/**
 * The highest specificity among the thresholds at which the sensitivity is at least `sensitivity`. A case is called
 * positive where its score is at or above the threshold; thresholds are the scores themselves, as in scikit-learn's
 * `roc_curve`, and nothing is interpolated between them.
 *
 * @param labels 1 (or true) for positive cases, 0 (or false) for negative ones
 * @param scores higher means more likely positive
 * @throws `BAD_INPUT` unless both classes occur, every label is 0 or 1, and every score is a number
 */
export function specificityAtSensitivity(
  labels: ArrayLike<number | boolean>,
  scores: ArrayLike<number>,
  sensitivity: number,
): number {
  if (typeof sensitivity !== "number" || !(sensitivity > 0 && sensitivity <= 1))
    throw expected("a number in (0, 1]", "sensitivity", sensitivity);
  const curve = operatingPoints(labels, scores);
  const { positives, negatives } = curve.at(-1) as OperatingPoint;
  // Points come from the highest threshold to the lowest: the first that is sensitive enough is the most specific.
  const point = curve.find(({ positives: found }) => found / positives >= sensitivity) as OperatingPoint;
  return (negatives - point.negatives) / negatives;
}

/**
 * The area under the receiver operating characteristic: the probability that a positive case scores higher than a
 * negative one, ties counting one half. Arguments and errors as `specificityAtSensitivity`.
 */
export function auc(labels: ArrayLike<number | boolean>, scores: ArrayLike<number>): number {
  const curve = operatingPoints(labels, scores);
  const { positives, negatives } = curve.at(-1) as OperatingPoint;
  let area = 0;
  let before: OperatingPoint = { positives: 0, negatives: 0 };
  for (const point of curve) {
    area += ((point.negatives - before.negatives) * (point.positives + before.positives)) / 2;
    before = point;
  }
  return area / (positives * negatives);
}

/** The matrix has the square of so many entries. */
const mostClasses = 4096;

/**
 * `matrix[true class][predicted class]`: how many cases. Classes are whole numbers from 0 to `classes - 1`.
 *
 * @param classes from 1 to 4096
 * @throws `BAD_INPUT` for lists of two lengths, or a class outside of these
 */
export function confusionMatrix(
  truth: ArrayLike<number>,
  predicted: ArrayLike<number>,
  classes: number,
): number[][] {
  if (!(Number.isSafeInteger(classes) && classes >= 1 && classes <= mostClasses))
    throw expected(`a whole number from 1 to ${mostClasses}`, "classes", classes);
  requireSameLength("truth", truth, "predicted", predicted);
  requireNumbers(truth, "truth");
  requireNumbers(predicted, "predicted");
  const matrix = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let i = 0; i < truth.length; i++) {
    const row = matrix[truth[i] as number];
    const column = predicted[i] as number;
    const what = `a class from 0 to ${classes - 1}`;
    if (row === undefined) throw expected(what, `truth[${i}]`, truth[i]);
    if (row[column] === undefined) throw expected(what, `predicted[${i}]`, column);
    row[column] = (row[column] as number) + 1;
  }
  return matrix;
}

/**
 * Cohen's kappa with quadratic weights (Cohen 1968): agreement of ordered classes beyond chance, a confusion of
 * classes i and j weighing (i - j)². 1 is full agreement, 0 what chance gives. Null where one class alone occurs
 * in both, and chance leaves nothing to agree beyond.
 *
 * @throws `BAD_INPUT` as `confusionMatrix`, and for no case at all
 */
export function quadraticWeightedKappa(
  truth: ArrayLike<number>,
  predicted: ArrayLike<number>,
  classes: number,
): number | null {
  const matrix = confusionMatrix(truth, predicted, classes);
  if (truth.length === 0) throw expected("at least one case", "truth", truth);
  const rows = matrix.map((row) => sumOf(row));
  const columns = rows.map((_, j) => matrix.reduce((sum, row) => sum + (row[j] as number), 0));
  let observed = 0;
  let byChance = 0;
  for (const [i, row] of matrix.entries()) {
    for (const [j, count] of row.entries()) {
      observed += (i - j) ** 2 * count;
      byChance += ((i - j) ** 2 * (rows[i] as number) * (columns[j] as number)) / truth.length;
    }
  }
  return byChance === 0 ? null : 1 - observed / byChance;
}

/** How many positive and negative cases score at or above a threshold. */
interface OperatingPoint {
  positives: number;
  negatives: number;
}

/** One point a distinct score, from the highest to the lowest; the last counts every case. */
function operatingPoints(labels: ArrayLike<number | boolean>, scores: ArrayLike<number>): OperatingPoint[] {
  requireSameLength("labels", labels, "scores", scores);
  const cases = Array.from(scores, (score, i) => {
    const label = labels[i];
    const positive = label === 1 || label === true;
    if (!positive && label !== 0 && label !== false) throw expected("0 or 1", `labels[${i}]`, label);
    if (typeof score !== "number" || Number.isNaN(score)) throw expected("a number", `scores[${i}]`, score);
    return { score, positive };
  }).sort((a, b) => (a.score === b.score ? 0 : b.score > a.score ? 1 : -1));
  const points: OperatingPoint[] = [];
  let positives = 0;
  let negatives = 0;
  for (const [i, { score, positive }] of cases.entries()) {
    if (positive) positives++;
    else negatives++;
    if (cases[i + 1]?.score !== score) points.push({ positives, negatives });
  }
  if (positives === 0 || negatives === 0) {
    const message = `Expected positive and negative cases but received ${positives} positive and ${negatives} negative`;
    throw new TransferLimitsError("BAD_INPUT", message);
  }
  return points;
}

function requireSameLength(
  name: string,
  values: ArrayLike<unknown>,
  otherName: string,
  others: ArrayLike<unknown>,
): void {
  requireArrayLike(values, name);
  requireArrayLike(others, otherName);
  if (values.length === others.length) return;
  const message = `Expected ${name} and ${otherName} of one length but received ${values.length} and ${others.length}`;
  throw new TransferLimitsError("BAD_INPUT", message);
}
