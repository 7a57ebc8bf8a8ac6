/** Of the standard normal distribution, the quantile of 97.5 %: the ends of a 95 % interval. */
export const normal975 = 1.959963984540054;
/** That of 95 %: the ends of a 90 % interval. */
export const normal95 = 1.6448536269514722;
/** That of 80 %: a power of 80 %. */
export const normal80 = 0.8416212335729143;

/** P(|Z| >= |z|), by the complementary error function as a continued fraction, or its series near 0. */
export function normalTwoSided(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  if (x < 2) {
    let term = x;
    let sum = x;
    for (let k = 1; k < 200; k++) {
      term *= -(x ** 2) / k;
      sum += term / (2 * k + 1);
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = x;
  for (let k = 200; k >= 1; k--) fraction = x + k / 2 / fraction;
  return Math.exp(-(x ** 2)) / (Math.sqrt(Math.PI) * fraction);
}

/** The same to 1e-7 for z of at least 0 (Hastings' form), where thousands are summed. */
export function roughNormalTwoSided(z: number): number {
  const x = z * Math.SQRT1_2;
  const t = 1 / (1 + 0.5 * x);
  let polynomial = 0;
  for (let k = coefficients.length - 1; k >= 0; k--)
    polynomial = polynomial * t + (coefficients[k] as number);
  return t * Math.exp(-x * x + polynomial);
}
const coefficients = [
  -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587,
  -0.82215223, 0.17087277,
];
