import { gammaln } from "simple-statistics";
import { expected } from "../common/errors.js";
import { smallestSignificant } from "./correlation.js";

/** Steps of Simpson's rule; an even number. */
const steps = 400;

/**
 * The |rho| that a study of `n` points finds with the given power: so strong a relation of normal values comes out
 * significant at `alpha` (two-sided, Student's t) in that share of studies, by the exact distribution of r (Hotelling
 * 1953). Weaker ones are missed more often.
 *
 * @throws `BAD_INPUT` for fewer than three points, an alpha outside (0, 1), or a power outside (alpha, 1)
 */
export function detectableCorrelation(n: number, power = 0.8, alpha = 0.05): number {
  const critical = smallestSignificant(n, alpha);
  if (typeof power !== "number" || !(power > alpha && power < 1))
    throw expected(`a number between alpha (${alpha}) and 1`, "power", power);
  const key = `${n} ${power} ${alpha}`;
  const known = found.get(key);
  if (known !== undefined) return known;
  let [low, high] = [0, 1];
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    const share = above(critical, middle, n) + above(critical, -middle, n);
    if (share < power) low = middle;
    else high = middle;
  }
  const detectable = (low + high) / 2;
  found.set(key, detectable);
  return detectable;
}

/** What was asked before: it takes a good part of a second, and a study's results ask it anew after every cell. */
const found = new Map<string, number>();

/** P(r > critical) of n normal points with correlation rho. */
function above(critical: number, rho: number, n: number): number {
  // With r = 1 - (1 - critical) u² the density has no pole at r = 1, where three points have one.
  const width = 1 - critical;
  const value = (u: number): number => {
    const under = width * u ** 2; // 1 - r
    // (1 - r²)^((n - 4) / 2) dr, the factor u² of 1 - r taken together with dr = 2 width u du
    const power = (n - 4) / 2;
    const root = (width * (2 - under)) ** power * u ** (n - 3) * 2 * width;
    return root * smooth(1 - under, rho, n);
  };
  let sum = 0;
  for (let i = 0; i <= steps; i++)
    sum += value(i / steps) * (i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2);
  return sum / (3 * steps);
}

/** The density of r without its factor (1 - r²)^((n - 4) / 2). */
function smooth(r: number, rho: number, n: number): number {
  const log =
    Math.log(n - 2) +
    gammaln(n - 1) -
    gammaln(n - 0.5) -
    0.5 * Math.log(2 * Math.PI) +
    ((n - 1) / 2) * Math.log((1 - rho) * (1 + rho)) -
    (n - 1.5) * Math.log(1 - rho * r);
  return Math.exp(log) * hypergeometric(n - 0.5, (1 + rho * r) / 2);
}

/** 2F1(1/2, 1/2; c; z) for z in [0, 1] and c > 1, by its series. */
function hypergeometric(c: number, z: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 0; k < 100_000 && term > 1e-14 * sum; k++) {
    term *= ((k + 0.5) ** 2 / ((c + k) * (k + 1))) * z;
    sum += term;
  }
  return sum;
}
