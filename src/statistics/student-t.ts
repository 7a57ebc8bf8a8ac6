import { gammaln } from "simple-statistics";

/**
 * The probability that Student's t with `degrees` degrees of freedom lies as far from 0, or farther, than the given
 * t, of which the square is handed over as a fraction: `squared / over`. (With `over` 0, t is infinite and the
 * probability 0.) P(|T| >= t) = I_x(degrees / 2, 1 / 2) with x = degrees / (degrees + t²).
 */
export function studentTwoSided(t: { squared: number; over: number }, degrees: number): number {
  const denominator = degrees * t.over + t.squared;
  if (denominator === 0) return 1;
  return incompleteBeta((degrees * t.over) / denominator, t.squared / denominator, degrees / 2, 0.5);
}

/**
 * The regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method; DLMF 8.17.22).
 * `complement` is 1 - x, asked for because the caller may know it without cancellation.
 */
export function incompleteBeta(x: number, complement: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (complement <= 0) return 1;
  const factor = Math.exp(
    a * Math.log(x) + b * Math.log(complement) + gammaln(a + b) - gammaln(a) - gammaln(b),
  );
  // The fraction converges fast below the mean of the distribution; above it, that of the mirrored function does.
  if (x > (a + 1) / (a + b + 2)) return 1 - (factor * betaFraction(complement, b, a)) / b;
  return (factor * betaFraction(x, a, b)) / a;
}

function betaFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  const away = (value: number) => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m <= 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-16) break;
  }
  return fraction;
}

/** The |t| that Student's t exceeds, on either side, with this probability (above 0 and below 1), by bisection. */
export function studentQuantile(probability: number, degrees: number): number {
  const beyond = (t: number) => studentTwoSided({ squared: t ** 2, over: 1 }, degrees);
  let [low, high] = [0, 1];
  while (beyond(high) > probability) [low, high] = [high, 2 * high];
  while (high - low > 1e-14 * high) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) break;
    if (beyond(middle) > probability) low = middle;
    else high = middle;
  }
  return high;
}
