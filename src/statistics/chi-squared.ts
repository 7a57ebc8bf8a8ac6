import { gammaln } from "simple-statistics";

/** The probability that chi-squared with `degrees` degrees of freedom is at most `value` (DLMF 8.7.1 and 8.9.2). */
export function chiSquaredBelow(value: number, degrees: number): number {
  const [a, x] = [degrees / 2, value / 2];
  if (!(x > 0)) return 0;
  const factor = Math.exp(a * Math.log(x) - x - gammaln(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; term > sum * 1e-16; n++) {
      term *= x / (a + n);
      sum += term;
    }
    return factor * sum;
  }
  const tiny = 1e-300;
  const away = (number: number) => (Math.abs(number) < tiny ? tiny : number);
  let b = x + 1 - a;
  let c = 1 / tiny;
  let d = 1 / away(b);
  let fraction = d;
  for (let i = 1; i < 10_000; i++) {
    const numerator = -i * (i - a);
    b += 2;
    d = 1 / away(numerator * d + b);
    c = away(b + numerator / c);
    fraction *= c * d;
    if (Math.abs(c * d - 1) < 1e-16) break;
  }
  return 1 - factor * fraction;
}

/** The value below which chi-squared lies with this probability. */
export function chiSquaredQuantile(probability: number, degrees: number): number {
  // By its logarithm: of one degree of freedom the lowest values are many powers of ten below 1.
  let low = -700;
  let high = Math.log(100 * (degrees + 10));
  for (let middle = (low + high) / 2; middle > low && middle < high; middle = (low + high) / 2) {
    if (chiSquaredBelow(Math.exp(middle), degrees) < probability) low = middle;
    else high = middle;
  }
  return Math.exp(high);
}
