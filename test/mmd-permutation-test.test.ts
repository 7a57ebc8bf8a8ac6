import { describe, expect, it } from "vitest";
import { mmd2 } from "../dist/alignment/mmd.js";
import { mmdPermutationTest } from "../dist/alignment/permutation-test.js";
import { randomStream } from "../dist/common/random.js";
import { permutedKernelSums } from "../dist/native/kernels.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";

const rows = (name: string, n: number, d: number, scale = 1, offset = 0) => ({
  data: hashFill(name, n * d).map((value) => offset + scale * value),
  shape: [n, d] as [number, number],
});
type Rows = ReturnType<typeof rows>;

/** Independent normal numbers: two such sets differ by chance only. */
const normalRows = (seed: number, name: string, n: number, d: number): Rows => {
  const stream = randomStream(seed, name);
  return { data: Float64Array.from({ length: n * d }, () => stream.normal()), shape: [n, d] };
};

const kernel = (u: Float64Array, v: Float64Array, sigma: number) =>
  Math.exp(-u.reduce((sum, value, k) => sum + (value - (v[k] as number)) ** 2, 0) / sigma ** 2);

/** The kernel of all pooled rows, from the definition. */
function kernelMatrix(a: Rows, b: Rows, sigma: number): number[][] {
  const pooled = [a, b].flatMap(({ data, shape: [n, d] }) =>
    Array.from({ length: n }, (_, i) => data.subarray(i * d, (i + 1) * d)),
  );
  return pooled.map((u) => pooled.map((v) => kernel(u, v, sigma)));
}

/** Sums over i != j whose rows are in the first set or not. */
function sumWhere(matrix: number[][], members: ArrayLike<number>, left: number, right: number): number {
  let sum = 0;
  for (const [i, line] of matrix.entries()) {
    for (const [j, value] of line.entries()) {
      if (i !== j && members[i] === left && members[j] === right) sum += value;
    }
  }
  return sum;
}

/** Unbiased MMD² from the definition. */
function unbiased(matrix: number[][], members: ArrayLike<number>): number {
  const n = Array.from(members).filter((member) => member === 1).length;
  const m = members.length - n;
  return (
    sumWhere(matrix, members, 1, 1) / (n * (n - 1)) +
    sumWhere(matrix, members, 0, 0) / (m * (m - 1)) -
    (2 * sumWhere(matrix, members, 1, 0)) / (n * m)
  );
}

/** Every way to choose n of `count` rows. */
function divisions(count: number, n: number): number[][] {
  return Array.from({ length: 2 ** count }, (_, code) =>
    Array.from({ length: count }, (__, bit) => (code >> bit) & 1),
  ).filter((members) => members.reduce((sum, member) => sum + member, 0) === n);
}

describe("the sums of many divisions", () => {
  // More rows than a tile has, with the boundary of the sets inside of one.
  it("are those of the definition for each division, whatever the sizes", async () => {
    const sigma = 2.5;
    for (const [n, m, d] of [
      [3, 5, 4],
      [130, 417, 3],
      [520, 9, 2],
    ] as const) {
      const [a, b] = [rows("permutation.a", n, d, 2), rows("permutation.b", m, d, 2, 0.3)];
      const stream = randomStream(3, "divisions");
      const chosen = Array.from({ length: 3 }, () => {
        const first = new Set(stream.shuffle(Array.from({ length: n + m }, (_, row) => row)).slice(0, n));
        return Uint8Array.from({ length: n + m }, (_, row) => (first.has(row) ? 1 : 0));
      });
      using members = Tensor.from(Uint8Array.from(chosen.flatMap((division) => [...division])), [3, n + m]);
      using tensorA = Tensor.from(a.data, a.shape);
      using tensorB = Tensor.from(b.data, b.shape);
      const sums = await permutedKernelSums(tensorA, tensorB, sigma, members, undefined);
      const matrix = kernelMatrix(a, b, sigma);
      for (const [index, division] of chosen.entries()) {
        const close = (value: number | undefined, wanted: number) =>
          expect(Math.abs((value as number) / wanted - 1)).toBeLessThan(1e-11);
        close(sums.sumAA[index], sumWhere(matrix, division, 1, 1));
        close(sums.sumBB[index], sumWhere(matrix, division, 0, 0));
        close(sums.sumAB[index], sumWhere(matrix, division, 1, 0));
      }
    }
  });

  it("are refused where a division has all rows in the first set", async () => {
    using a = Tensor.from(new Float64Array(6), [3, 2]);
    using members = Tensor.from(Uint8Array.of(1, 1, 1, 1, 1, 1), [1, 6]);
    await expect(permutedKernelSums(a, a, 1, members, undefined)).rejects.toThrow(
      "Expected 0 or 1 for each row in members, and both in each division",
    );
  });
});

describe("the permutation test", () => {
  it("answers the MMD² that mmd2 answers", async () => {
    const [a, b] = [rows("test.a", 40, 6), rows("test.b", 33, 6, 1, 0.1)];
    const plain = await mmd2(a, b, { sigma: 2 });
    const tested = await mmdPermutationTest(a, b, { sigma: 2, permutations: 20 });
    expect(tested.biased).toBeCloseTo(plain.biased, 12);
    expect(tested.unbiased).toBeCloseTo(plain.unbiased as number, 12);
    expect(tested.offDiagonalMean).toBeCloseTo(plain.offDiagonalMean, 12);
    expect(tested.saturated).toBe(plain.saturated);
  });

  it("is exact where all divisions can be tried, which it says", async () => {
    const [a, b] = [rows("few.a", 4, 3), rows("few.b", 5, 3, 1, 0.35)];
    const matrix = kernelMatrix(a, b, 1.5);
    const given = unbiased(matrix, [1, 1, 1, 1, 0, 0, 0, 0, 0]);
    const all = divisions(9, 4).map((members) => unbiased(matrix, members));
    const exact = all.filter((value) => value >= given - 1e-12).length / all.length;
    expect(exact).toBeGreaterThan(0.01);
    expect(exact).toBeLessThan(0.5);
    const tested = await mmdPermutationTest(a, b, { sigma: 1.5, permutations: 10 });
    expect(tested).toMatchObject({ exact: true, permutations: 126 });
    expect(tested.pValue).toBeCloseTo(exact, 12);
  });

  it("swaps the two rows of a case and nothing else where rows are paired", async () => {
    const [a, b] = [rows("pairs.a", 5, 2, 3), rows("pairs.b", 5, 2, 3, 0.6)];
    const matrix = kernelMatrix(a, b, 2);
    const given = unbiased(matrix, [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]);
    const swaps = Array.from({ length: 32 }, (_, code) =>
      Array.from({ length: 10 }, (__, row) => ((code >> (row % 5)) & 1) ^ (row < 5 ? 1 : 0)),
    ).map((members) => unbiased(matrix, members));
    const exact = swaps.filter((value) => value >= given - 1e-12).length / swaps.length;
    const tested = await mmdPermutationTest(a, b, { sigma: 2, permutations: 10, paired: true });
    expect(exact).toBeLessThan(1);
    expect(tested).toMatchObject({ exact: true, permutations: 16 });
    expect(tested.pValue).toBeCloseTo(exact, 12);
  });

  it("finds 5 % of sets from one distribution different at the level of 5 %", async () => {
    const trials = 200;
    let below = 0;
    for (let trial = 0; trial < trials; trial++) {
      const [a, b] = [normalRows(trial, "a", 12, 3), normalRows(trial, "b", 15, 3)];
      const { pValue } = await mmdPermutationTest(a, b, { sigma: 2.4, permutations: 199, seed: trial });
      if (pValue <= 0.05) below++;
    }
    // 10 are expected; outside of these bounds with a chance of less than 1 in 10,000.
    expect(below).toBeGreaterThanOrEqual(1);
    expect(below).toBeLessThanOrEqual(24);
  });

  it("gives sets that lie apart the least p-value there is, and equal sets a large one", async () => {
    const far = await mmdPermutationTest(rows("far.a", 30, 4), rows("far.b", 30, 4, 1, 3), {
      sigma: 3,
      permutations: 99,
    });
    expect(far.pValue).toBe(1 / 100);
    expect(far.unbiased as number).toBeGreaterThan(far.nullQuantile95);
    const same = rows("same", 30, 4);
    const equal = await mmdPermutationTest(same, same, { sigma: 3, permutations: 99, paired: true });
    expect(equal.pValue).toBe(1);
  });

  it("draws from its seed: the same one gives the same numbers, another other ones", async () => {
    const [a, b] = [rows("seed.a", 20, 3), rows("seed.b", 20, 3, 1, 0.2)];
    const test = (seed: number) => mmdPermutationTest(a, b, { sigma: 2, permutations: 200, seed });
    expect(await test(4)).toEqual(await test(4));
    expect((await test(5)).nullQuantile95).not.toBe((await test(4)).nullQuantile95);
  });

  it.each([
    [{ permutations: 0 }, "Expected a whole number from 1 to 1,000,000 for permutations"],
    [{ sigma: -1 }, "Expected a positive number for sigma"],
    [{ paired: true }, "Expected 4 rows in b, as many as in a, for paired rows"],
  ])("refuses %j", async (options, message) => {
    await expect(mmdPermutationTest(rows("bad.a", 4, 2), rows("bad.b", 5, 2), options)).rejects.toThrow(
      message,
    );
  });

  it("stops when it is told to", async () => {
    const signal = AbortSignal.abort();
    await expect(
      mmdPermutationTest(rows("stop.a", 9, 2), rows("stop.b", 9, 2), { signal }),
    ).rejects.toMatchObject({ code: "ABORTED" });
  });
});
