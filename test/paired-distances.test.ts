import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { compareFeatures } from "../dist/alignment/compare-features.js";
import { mmd2 } from "../dist/alignment/mmd.js";
import { randomStream } from "../dist/common/random.js";
import { hashFill } from "./hash-fill.js";

interface Measured {
  n: number;
  d: number;
  shared: number;
  offset: number;
  sigma: number;
  mmd: { biased: number; unbiased: number; withinA: number; withinB: number; between: number };
  comparison: { linearCka: number; procrustes: number; meanShift: number };
}
// Made by test/oracles/feature_distances.py.
const { measured } = JSON.parse(
  readFileSync(new URL("oracles/feature_distances.json", import.meta.url), "utf8"),
) as { measured: Measured[] };

interface Rows {
  data: Float32Array | Float64Array;
  shape: number[];
}

function sets({ n, d, shared, offset }: Measured) {
  const a = hashFill(`features a ${n}`, n * d);
  const own = hashFill(`features b ${n}`, n * d);
  const b = a.map((value, i) => shared * value + (1 - shared) * (own[i] as number) + offset);
  const shape = [n, d];
  return [
    { data: a, shape },
    { data: b, shape },
  ] as const;
}

describe("distances between two networks' features of the same cases", () => {
  it.each(measured)("of $n cases with $d features are those of the papers' equations", async (one) => {
    const [a, b] = sets(one);
    const got = await mmd2(a, b, { sigma: one.sigma, paired: true });
    const { biased, unbiased, ...means } = one.mmd;
    expect(Math.abs(got.biased - biased)).toBeLessThan(1e-12);
    expect(Math.abs((got.unbiased as number) - unbiased)).toBeLessThan(1e-12);
    for (const key of ["withinA", "withinB", "between"] as const)
      expect(Math.abs((got.kernelMeans[key] as number) - means[key])).toBeLessThan(1e-12);
    const comparison = await compareFeatures(a, b);
    for (const key of ["linearCka", "procrustes", "meanShift"] as const)
      expect(Math.abs((comparison[key] as number) - one.comparison[key])).toBeLessThan(1e-6);
    const single = [a, b].map(({ data, shape }) => ({ data: Float32Array.from(data), shape }));
    const coarse = await compareFeatures(single[0] as Rows, single[1] as Rows);
    for (const key of ["linearCka", "procrustes", "meanShift"] as const)
      expect(Math.abs((coarse[key] as number) - one.comparison[key])).toBeLessThan(1e-5);
  });

  it("leave the biased form as it is, which is the paper's", async () => {
    const [a, b] = sets(measured[1] as Measured);
    expect((await mmd2(a, b, { sigma: 2, paired: true })).biased).toBe(
      (await mmd2(a, b, { sigma: 2 })).biased,
    );
  });

  // The same features with the noise of each network: nothing moved. With the pairs i = i the mean is about -0.02 at N = 10.
  it.each([
    [10, 400],
    [37, 200],
    [148, 60],
  ])("are 0 on average where nothing changed, with %i cases", async (n, draws) => {
    const d = 8;
    const values: number[] = [];
    const unpaired: number[] = [];
    for (let draw = 0; draw < draws; draw++) {
      const stream = randomStream(draw, "paired null", n);
      const features = Float64Array.from({ length: n * d }, () => stream.normal());
      const network = () => ({ data: features.map((value) => value + 0.3 * stream.normal()), shape: [n, d] });
      const [a, b] = [network(), network()];
      values.push((await mmd2(a, b, { sigma: 4, paired: true })).unbiased as number);
      unpaired.push((await mmd2(a, b, { sigma: 4 })).unbiased as number);
    }
    const { mean, error } = meanOf(values);
    expect(Math.abs(mean)).toBeLessThan(2 * error);
    const without = meanOf(unpaired);
    expect(without.mean).toBeLessThan(-5 * without.error);
  });

  it("want as many rows in both sets", async () => {
    const [a] = sets(measured[0] as Measured);
    const [b] = sets({ ...(measured[0] as Measured), n: 5 });
    const message = expect.stringContaining("but received 5");
    await expect(mmd2(a, b, { paired: true })).rejects.toMatchObject({ code: "BAD_INPUT", message });
    await expect(compareFeatures(a, b)).rejects.toThrow("as many rows in b as in a, 4");
  });
});

describe("what is compared without a bandwidth", () => {
  const n = 12;
  const d = 5;
  const a = { data: hashFill("plain", n * d), shape: [n, d] };

  it("does not see rotation, scale and offset, but for the shift of the mean", async () => {
    // A rotation in the plane of the first two features, three times as large, moved.
    const [cosine, sine] = [Math.cos(0.7), Math.sin(0.7)];
    const data = a.data.map((value, i) => {
      const row = i - (i % d);
      const [x, y] = [a.data[row] as number, a.data[row + 1] as number];
      const turned = i % d === 0 ? cosine * x - sine * y : i % d === 1 ? sine * x + cosine * y : value;
      return 3 * turned + 0.4;
    });
    const { linearCka, procrustes, meanShift } = await compareFeatures(a, { data, shape: [n, d] });
    expect(linearCka).toBeCloseTo(1, 12);
    expect(procrustes).toBeCloseTo(0, 12);
    expect(meanShift as number).toBeGreaterThan(0.1);
  });

  it("has no correlation with a set of noise, however many features there are", async () => {
    const values: number[] = [];
    for (let draw = 0; draw < 100; draw++) {
      const stream = randomStream(draw, "unrelated");
      const set = () => ({
        data: Float64Array.from({ length: 20 * 300 }, () => stream.normal()),
        shape: [20, 300],
      });
      values.push((await compareFeatures(set(), set())).linearCka ?? 0);
    }
    const { mean, error } = meanOf(values);
    expect(Math.abs(mean)).toBeLessThan(3 * error);
  });

  it("is undefined, not a number, where there is nothing to compare", async () => {
    const point = { data: new Float32Array(n * d).fill(0.1), shape: [n, d] };
    const single = { data: Float32Array.from(a.data), shape: [n, d] };
    const one = await compareFeatures(single, point);
    expect(one).toMatchObject({ linearCka: null, procrustes: null });
    expect(one.meanShift as number).toBeGreaterThan(0);
    expect(await compareFeatures(point, point)).toEqual({
      linearCka: null,
      procrustes: null,
      meanShift: null,
    });
    const row = { data: Float32Array.of(1, 2), shape: [1, 2] };
    expect(await compareFeatures(row, row)).toEqual({ linearCka: null, procrustes: null, meanShift: null });
    const three = { data: Float32Array.of(1, 2, 4, 3, 5, 9), shape: [3, 2] };
    expect((await compareFeatures(three, three)).linearCka).toBeNull();
  });

  it("is the same for features of any size", async () => {
    const at = (scale: number) => {
      const [x, y] = sets(measured[2] as Measured);
      const scaled = ({ data, shape }: typeof x) => ({ data: data.map((value) => scale * value), shape });
      return compareFeatures(scaled(x), scaled(y));
    };
    const plain = await at(1);
    for (const scale of [1e-200, 1e200])
      for (const [key, value] of Object.entries(await at(scale)))
        expect(value).toBeCloseTo(plain[key as keyof typeof plain] as number, 10);
  });
});

function meanOf(values: readonly number[]) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, error: Math.sqrt(squares / (values.length - 1) / values.length) };
}
