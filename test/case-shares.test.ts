import { describe, expect, it } from "vitest";
import { sharesOfCases } from "../dist/alignment/case-shares.js";
import { mmd2 } from "../dist/alignment/mmd.js";
import { randomStream } from "../dist/common/random.js";
import { Tensor } from "../dist/native/tensor.js";

const d = 4;
const sigma = 3;

/** Features of two networks: the second adds what it has learnt to those of the first. */
function features(n: number, seed = 1) {
  const { normal } = randomStream(seed, "shares", n);
  const a = Float64Array.from({ length: n * d }, () => normal());
  const b = a.map((value, i) => 1.2 * value + (i % d === 0 ? 1.5 : 0) + 0.2 * normal());
  return { a, b };
}

async function sharesOf(n: number, { a, b } = features(n)) {
  using first = Tensor.from(a, [n, d]);
  using second = Tensor.from(b, [n, d]);
  const { biased } = await mmd2({ data: a, shape: [n, d] }, { data: b, shape: [n, d] }, { sigma });
  return { biased, shares: await sharesOfCases(first, second, { sigma, biased }) };
}

const kernel = (x: Float64Array, i: number, y: Float64Array, j: number) => {
  let sum = 0;
  for (let k = 0; k < d; k++) sum += ((x[i * d + k] as number) - (y[j * d + k] as number)) ** 2;
  return Math.exp(-sum / sigma ** 2);
};

describe("what each case adds to MMD²", () => {
  it("is its mean over pairs with all cases, by the definition; what it has with itself is the mean of all", async () => {
    const n = 9;
    const { a, b } = features(n);
    const { biased, shares } = await sharesOf(n);
    const pair = (i: number, j: number) =>
      kernel(a, i, a, j) + kernel(b, i, b, j) - kernel(a, i, b, j) - kernel(b, i, a, j);
    const cases = Array.from({ length: n }, (_, i) => i);
    const itself = cases.reduce((sum, i) => sum + pair(i, i), 0) / n;
    for (const i of cases) {
      const others = cases.filter((j) => j !== i).reduce((sum, j) => sum + pair(i, j), 0);
      expect(shares?.[i]).toBeCloseTo((others + itself) / n, 12);
    }
    expect((shares as number[]).reduce((sum, value) => sum + value, 0) / n).toBeCloseTo(biased, 12);
  });

  it("says how MMD² scatters over studies of other patients, to a fifth", async () => {
    const n = 40;
    const values: number[] = [];
    const forecast: number[] = [];
    for (let study = 0; study < 120; study++) {
      const { biased, shares } = await sharesOf(n, features(n, study));
      values.push(biased);
      const squares = (shares as number[]).reduce((sum, share) => sum + (share - biased) ** 2, 0);
      forecast.push(2 * Math.sqrt(squares / (n - 1) / n));
    }
    const mean = (list: number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
    const spread = Math.sqrt(mean(values.map((value) => (value - mean(values)) ** 2)));
    expect(mean(forecast) / spread).toBeGreaterThan(0.8);
    expect(mean(forecast) / spread).toBeLessThan(1.2);
  });

  it("is not known of two cases", async () => {
    expect((await sharesOf(2)).shares).toBeNull();
  });
});
