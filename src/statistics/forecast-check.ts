import { average } from "../common/numbers.js";
import { randomStream } from "../common/random.js";
import { holm } from "./holm.js";

/** A task and a model of which both are known: what was forecast before the training, and what it came to. */
export interface ForecastPoint {
  task: string;
  model: string;
  /** Whatever the forecast goes by; only its sign and its size beside that of other models on the task count. */
  score: number;
  /** Fine-tuned less from scratch, in margins of the task: differences up to one do not matter. */
  gain: number;
}

/** How far off a forecast is, leaving out the task and the model that are forecast, beside the mean gain. */
export interface ForecastCheck {
  points: number;
  /** Mean absolute errors, in margins. */
  error: number;
  meanGainError: number;
  /** The share of orders of the scores whose error is as small, by Holm over all scores that are checked. */
  p: number;
  /** Whether it errs less than the mean gain does, and by more than chance explains. */
  better: boolean;
}

const orders = 999;
const level = 0.05;

/**
 * Scores forecasts against what trainings came to. Each point is forecast by a line through the points of other tasks *and*
 * other models, gain over score, and by the mean gain of the same points. Scores are taken over their root mean square on
 * the task.
 *
 * @returns null for a score that has fewer than four points, or none that others remain for
 */
export function checkForecasts(
  byScore: Readonly<Record<string, readonly ForecastPoint[]>>,
  seed: number,
): Record<string, ForecastCheck | null> {
  const checked = Object.entries(byScore).map(([name, points]) => ({ name, check: checkOne(points, seed) }));
  const known = checked.flatMap(({ check }) => check ?? []);
  const adjusted = holm(known.map(({ p }) => p));
  for (const [index, check] of known.entries()) {
    check.p = adjusted[index] as number;
    check.better = check.error < check.meanGainError && check.p < level;
  }
  return Object.fromEntries(checked.map(({ name, check }) => [name, check]));
}

function checkOne(points: readonly ForecastPoint[], seed: number): ForecastCheck | null {
  if (points.length < 4) return null;
  const scaled = scaledByTask(points);
  const error = errorOf(scaled);
  const meanGainError = errorOf(scaled.map((point) => ({ ...point, score: 0 })));
  if (error === null || meanGainError === null) return null;
  const random = randomStream(seed, "forecast check");
  let asSmall = 1;
  for (let order = 0; order < orders; order++) {
    const scores = random.shuffle(scaled.map(({ score }) => score));
    const shuffled = scaled.map((point, at) => ({ ...point, score: scores[at] as number }));
    if ((errorOf(shuffled) as number) <= error + 1e-12) asSmall++;
  }
  return { points: points.length, error, meanGainError, p: asSmall / (orders + 1), better: false };
}

function scaledByTask(points: readonly ForecastPoint[]): ForecastPoint[] {
  return points.map((point) => {
    const own = points.filter(({ task }) => task === point.task);
    const size = Math.sqrt(own.reduce((sum, { score }) => sum + score ** 2, 0) / own.length);
    return { ...point, score: size > 0 ? point.score / size : 0 };
  });
}

/** Null where every point is alone in its task or with its model. */
function errorOf(points: readonly ForecastPoint[]): number | null {
  const errors = points.flatMap((point) => {
    const others = points.filter(({ task, model }) => task !== point.task && model !== point.model);
    return others.length === 0 ? [] : [Math.abs(lineThrough(others)(point.score) - point.gain)];
  });
  return errors.length === 0 ? null : average(errors);
}

/** By least squares; level where the scores do not differ, or two points would decide. */
function lineThrough(points: readonly ForecastPoint[]): (score: number) => number {
  const mean = (of: (point: ForecastPoint) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [score, gain] = [mean((point) => point.score), mean((point) => point.gain)];
  const spread = points.reduce((sum, point) => sum + (point.score - score) ** 2, 0);
  if (points.length < 3 || !(spread > 1e-12)) return () => gain;
  const slope = points.reduce((sum, point) => sum + (point.score - score) * (point.gain - gain), 0) / spread;
  return (at) => gain + slope * (at - score);
}
