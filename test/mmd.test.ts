import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { mmd2 } from "../dist/alignment/mmd.js";
import { kernelSums, medianDistance } from "../dist/native/kernels.js";
import { setThreads, threads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";
import { shared, sharedMissing } from "./shared.js";

interface Filled {
  name: string;
  n: number;
  d: number;
  scale: number;
  offset: number;
}
interface Case {
  a: Filled;
  b: Filled;
  sigma: number;
  biased: number;
  unbiased: number | null;
}
type Rows = { data: Float64Array; shape: [number, number] };

const rows = (name: string, n: number, d: number, scale = 1, offset = 0): Rows => ({
  data: hashFill(name, n * d).map((value) => offset + scale * value),
  shape: [n, d],
});
const float32 = ({ data, shape }: Rows) => ({ data: Float32Array.from(data), shape });
const row = ({ data, shape: [, d] }: Rows, i: number) => data.subarray(i * d, (i + 1) * d);
const distance = (u: Float64Array, v: Float64Array) =>
  Math.hypot(...u.map((value, k) => value - (v[k] as number)));

/** The definition, one pair after another. */
function kernelSum(a: Rows, b: Rows, sigma: number, count: (i: number, j: number) => boolean): number {
  let sum = 0;
  for (let i = 0; i < a.shape[0]; i++) {
    for (let j = 0; j < b.shape[0]; j++) {
      if (count(i, j)) sum += Math.exp(-((distance(row(a, i), row(b, j)) / sigma) ** 2));
    }
  }
  return sum;
}

describe.skipIf(sharedMissing)("golden MMD² (needs the shared folder beside the checkout)", () => {
  const { cases } = sharedMissing
    ? { cases: [] }
    : (JSON.parse(readFileSync(shared("parity/numbers/mmd.json"), "utf8")) as { cases: Case[] });
  // The golden inputs were rounded to float32.
  const filled = ({ name, n, d, scale, offset }: Filled) => float32(rows(name, n, d, scale, offset));
  const widened = (input: ReturnType<typeof filled>) => ({ ...input, data: Float64Array.from(input.data) });

  it.each(cases)("$a.n x $a.d and $b.n x $b.d, sigma $sigma", async ({ a, b, sigma, biased, unbiased }) => {
    const precise = await mmd2(widened(filled(a)), widened(filled(b)), { sigma });
    const single = await mmd2(filled(a), filled(b), { sigma });
    for (const [result, tolerance] of [[precise, 1e-10] as const, [single, 1e-6] as const]) {
      expect(Math.abs(result.biased - biased)).toBeLessThan(tolerance);
      if (unbiased === null) expect(result.unbiased).toBeNull();
      else expect(Math.abs((result.unbiased as number) - unbiased)).toBeLessThan(tolerance);
    }
  });
});

describe("MMD²", () => {
  it("of two single rows is 2 - 2 exp(-|u - v|² / sigma²), and has no unbiased form", async () => {
    const a = { data: new Float64Array([0, 3]), shape: [1, 2] };
    const b = { data: new Float64Array([4, 0]), shape: [1, 2] };
    const { biased, unbiased, offDiagonalMean } = await mmd2(a, b, { sigma: 5 });
    expect(biased).toBeCloseTo(2 - 2 / Math.E, 14);
    expect(unbiased).toBeNull();
    expect(offDiagonalMean).toBeCloseTo(1 / Math.E, 14);
  });

  it("counts the pairs that its definition counts, within one tile and across tiles", async () => {
    // 256 rows make a tile: below, exactly one, one row more, and several.
    for (const [n, m] of [
      [3, 5],
      [256, 257],
      [300, 600],
    ] as const) {
      const a = rows("tiles a", n, 4);
      const b = rows("tiles b", m, 4, 0.8, 0.1);
      using x = Tensor.from(a.data, a.shape);
      using y = Tensor.from(b.data, b.shape);
      const sums = await kernelSums(x, y, [0.5, 2]);
      expect([sums.rowsA, sums.rowsB]).toEqual([n, m]);
      for (const [index, sigma] of [0.5, 2].entries()) {
        const wanted = [
          kernelSum(a, a, sigma, (i, j) => i !== j),
          kernelSum(b, b, sigma, (i, j) => i !== j),
          kernelSum(a, b, sigma, () => true),
        ];
        const got = [sums.sumAA[index], sums.sumBB[index], sums.sumAB[index]] as number[];
        got.forEach((value, part) => {
          expect(Math.abs(value / (wanted[part] as number) - 1)).toBeLessThan(1e-12);
        });
      }
    }
  });

  it("of a set with itself is exactly 0, and its unbiased form below 0", async () => {
    const a = rows("itself", 40, 7);
    const { biased, unbiased } = await mmd2(a, a);
    expect(biased).toBeLessThan(1e-15);
    expect(biased).toBeGreaterThanOrEqual(0);
    expect(unbiased).toBeLessThan(0);
  });

  it("does not care which set comes first, nor in which order the rows stand", async () => {
    const a = rows("order a", 60, 5);
    const b = rows("order b", 80, 5, 1, 0.2);
    const turned = {
      ...a,
      data: Float64Array.from([...Array(60).keys()].reverse().flatMap((i) => [...row(a, i)])),
    };
    const { biased, unbiased } = await mmd2(a, b);
    for (const other of [await mmd2(b, a), await mmd2(turned, b)]) {
      expect(other.biased).toBeCloseTo(biased, 13);
      expect(other.unbiased).toBeCloseTo(unbiased as number, 13);
    }
  });

  it("saturates to exactly 1/N + 1/M where rows are far apart, even near the largest numbers, and says so", async () => {
    for (const scale of [100, 1e160, 1e300]) {
      const far = await mmd2(rows("far a", 20, 64, scale), rows("far b", 30, 64, scale));
      expect(far.biased).toBeCloseTo(1 / 20 + 1 / 30, 15);
      expect(far).toMatchObject({ unbiased: 0, offDiagonalMean: 0, saturated: true });
    }
  });

  it("calls a kernel saturated at both ends, and where only the rows of one case see each other", async () => {
    const a = rows("saturation", 40, 64);
    const moved = { ...a, data: a.data.map((value) => value + 1e-3) };
    expect((await mmd2(a, moved, { sigma: 6 })).saturated).toBe(false);
    expect((await mmd2(a, moved, { sigma: 1e4 })).saturated).toBe(true);
    const paired = await mmd2(a, moved, { sigma: 0.1 });
    expect(paired.offDiagonalMean).toBeGreaterThan(1e-3);
    expect(paired.saturated).toBe(true);
  });

  it("keeps small distances between rows that lie far from the origin", async () => {
    const [near, away] = [rows("offset", 30, 16), rows("offset", 30, 16, 1, 2 ** 26)];
    const [other, otherAway] = [rows("offset b", 30, 16), rows("offset b", 30, 16, 1, 2 ** 26)];
    const { biased } = await mmd2(near, other, { sigma: 3 });
    expect(Math.abs((await mmd2(away, otherAway, { sigma: 3 })).biased - biased)).toBeLessThan(1e-8);
  });

  it("gives the same bits whatever the number of threads", async () => {
    const [a, b] = [rows("threads a", 700, 33), rows("threads b", 515, 33, 1, 0.1)];
    const before = threads();
    try {
      setThreads(1);
      const alone = await mmd2(a, b, { sigma: 3 });
      setThreads(2);
      expect(await mmd2(a, b, { sigma: 3 })).toEqual(alone);
    } finally {
      setThreads(before);
    }
  });

  // Many float32 rows go by matrix products. In float64 the same numbers go by differences.
  describe("of many float32 rows", () => {
    const [n, m, d] = [700, 531, 96];
    const spread = Math.sqrt(2 * d * 0.33); // about the distance of two rows
    const plain = rows("many a", n, d);
    const other = rows("many b", m, d, 1, 0.05);
    const moved = (by: Rows, step: (i: number, k: number) => number): Rows => ({
      ...by,
      data: by.data.map((value, index) => value + step(Math.floor(index / d), index % d)),
    });
    const noise = hashFill("noise", n * d);
    const centres = hashFill("centres", 5 * d);
    const settings: { name: string; a: Rows; b: Rows; sigma: number; absolute: number }[] = [
      ...[0.1, 0.25, 0.5, 1, 2, 10].map((share) => ({
        name: `sigma ${share} times their distance`,
        a: plain,
        b: other,
        sigma: share * spread,
        absolute: 1e-10,
      })),
      {
        name: "far from the origin",
        a: moved(plain, () => 300),
        b: moved(other, () => 300),
        sigma: spread,
        absolute: 1e-10,
      },
      {
        name: "in pairs nearer than a product's rounding",
        a: plain,
        b: moved(plain, (i, k) => 1e-4 * (noise[i * d + k] as number)),
        sigma: 0.002,
        absolute: 1e-10,
      },
      {
        name: "in narrow clusters far apart",
        a: moved(
          { ...plain, data: plain.data.map((v) => 1e-3 * v) },
          (i, k) => 40 * (centres[(i % 5) * d + k] as number),
        ),
        b: moved(
          { ...other, data: other.data.map((v) => 1e-3 * v) },
          (i, k) => 40 * (centres[(i % 4) * d + k] as number),
        ),
        sigma: 0.01,
        absolute: 1e-8,
      },
    ];
    it.each(settings)("agrees with float64 to a relative 1e-6: $name", async ({ a, b, sigma, absolute }) => {
      const [left, right] = [float32(a), float32(b)];
      const widened = (set: typeof left) => ({ ...set, data: Float64Array.from(set.data) });
      const got = await mmd2(left, right, { sigma });
      const wanted = await mmd2(widened(left), widened(right), { sigma });
      expect(Math.abs(got.biased / wanted.biased - 1)).toBeLessThan(1e-6);
      expect(Math.abs((got.unbiased as number) - (wanted.unbiased as number))).toBeLessThan(absolute);
      expect(Math.abs(got.offDiagonalMean - wanted.offDiagonalMean)).toBeLessThan(absolute);
    });

    it.each(settings)("moves no mean of the kernel by 1e-7 with int16: $name", async ({ a, b, sigma }) => {
      using x = Tensor.from(float32(a).data, a.shape);
      using y = Tensor.from(float32(b).data, b.shape);
      const got = await kernelSums(x, y, [sigma], { products: "int16" });
      const wanted = await kernelSums(x, y, [sigma]);
      for (const [key, pairs] of [
        ["sumAA", n * (n - 1)],
        ["sumBB", m * (m - 1)],
        ["sumAB", n * m],
      ] as const) {
        expect(Math.abs((got[key][0] as number) - (wanted[key][0] as number)) / pairs).toBeLessThan(1e-7);
      }
    });

    it("takes float32 instead of int16 where a row lies too far out for sigma", async () => {
      const outlier = moved(plain, (i) => (i === 5 ? 4 : 0));
      for (const [sigma, same] of [
        [0.2 * spread, true], // the outlier lies more than 4 sigma away
        [1.5 * spread, false],
      ] as const) {
        const whole = await mmd2(float32(outlier), float32(other), { sigma, products: "int16" });
        const single = await mmd2(float32(outlier), float32(other), { sigma });
        expect(Math.abs(whole.biased / single.biased - 1)).toBeLessThan(1e-5);
        expect(whole.biased === single.biased).toBe(same);
      }
    });

    it("gives the same bits with int16 whatever the processor's instructions", async () => {
      const program = `
        const { mmd2 } = await import("./dist/alignment/mmd.js");
        const { hashFill } = await import("./dist/bench/hash-fill.js");
        const set = (name, n) => ({ data: Float32Array.from(hashFill(name, n * 97)), shape: [n, 97] });
        const answer = await mmd2(set("a", 701), set("b", 650), { sigma: 8, products: "int16" });
        console.log(JSON.stringify(answer));`;
      const answers = ["", "avx2", "default"].map((capability) =>
        execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
          cwd: fileURLToPath(new URL("..", import.meta.url)),
          env: { ...process.env, ...(capability && { ATEN_CPU_CAPABILITY: capability }) },
          encoding: "utf8",
        }),
      );
      expect(JSON.parse(answers[0] as string).biased).toBeGreaterThan(0);
      expect(new Set(answers).size).toBe(1);
    });

    it.each(["float32", "int16"] as const)(
      "counts the pairs at tiles' and panels' edges: %s",
      async (products) => {
        // A tile has 256 rows or 192, a panel 1024 or 4096.
        for (const [left, right] of [
          [256, 1024],
          [257, 1025],
          [1100, 255],
          [193, 4097],
        ] as const) {
          const [a, b] = [rows("edge a", left, 70), rows("edge b", right, 70)];
          using x = Tensor.from(float32(a).data, a.shape);
          using y = Tensor.from(float32(b).data, b.shape);
          const sums = await kernelSums(x, y, [1e6, 2e6], { products });
          // Every kernel value is 1 but for its last digits.
          const wanted = [left * (left - 1), right * (right - 1), left * right];
          for (const s of [0, 1]) {
            [sums.sumAA, sums.sumBB, sums.sumAB].forEach((sum, i) => {
              expect(Math.abs((sum[s] as number) / (wanted[i] as number) - 1)).toBeLessThan(1e-9);
            });
          }
        }
      },
    );

    it("saturates exactly", async () => {
      const far = await mmd2(float32(rows("far a", n, d, 100)), float32(rows("far b", m, d, 100)));
      expect(far.biased).toBeCloseTo(1 / n + 1 / m, 15);
      expect(far).toMatchObject({ unbiased: 0, offDiagonalMean: 0, saturated: true });
    });

    it.each(["float32", "int16"] as const)(
      "is 0 for a set with itself, and does not depend on the number of threads: %s",
      async (products) => {
        const options = { sigma: spread, products };
        const single = float32(plain);
        expect((await mmd2(single, single, options)).biased).toBeLessThan(
          products === "int16" ? 1e-15 : 1e-9,
        );
        const before = threads();
        try {
          setThreads(1);
          const alone = await mmd2(single, float32(other), options);
          setThreads(2);
          expect(await mmd2(single, float32(other), options)).toEqual(alone);
        } finally {
          setThreads(before);
        }
      },
    );

    it("stops where the signal is aborted", async () => {
      const single = float32(plain);
      await expect(mmd2(single, single, { signal: AbortSignal.abort() })).rejects.toMatchObject({
        code: "ABORTED",
      });
    });
  });

  it("takes tensors and leaves them alive, and frees those it makes of arrays", async () => {
    const [a, b] = [rows("handles a", 9, 4), rows("handles b", 8, 4)];
    using x = Tensor.from(a.data, a.shape);
    using y = Tensor.from(Float32Array.from(b.data), b.shape);
    const live = Tensor.live;
    const { biased } = await mmd2(x, y);
    expect((await mmd2(a, float32(b))).biased).toBe(biased);
    await expect(mmd2(a, rows("other width", 8, 5))).rejects.toThrow();
    await expect(mmd2(a, { data: [1, 2] as unknown as Float64Array, shape: [1, 2] })).rejects.toThrow(
      "for b",
    );
    expect(Tensor.live).toBe(live);
    expect(x.disposed || y.disposed).toBe(false);
  });

  it.each([
    {
      name: "another number of features",
      b: rows("b", 5, 3),
      sigma: 1,
      message: "as many features in b as in a, 4",
    },
    {
      name: "another number of dimensions",
      b: { data: new Float64Array(8), shape: [2, 2, 2] },
      sigma: 1,
      message: "[rows, features]",
    },
    {
      name: "no rows",
      b: { data: new Float64Array(0), shape: [0, 4] },
      sigma: 1,
      message: "at least one row",
    },
    {
      name: "a value that is not finite",
      b: { data: new Float64Array([0, 1, Number.NaN, 0]), shape: [1, 4] },
      sigma: 1,
      message: "finite values for b",
    },
    {
      name: "a sigma of 0",
      b: rows("b", 5, 4),
      sigma: 0,
      message: "a positive number for sigma but received 0",
    },
    { name: "a sigma whose square is 0", b: rows("b", 5, 4), sigma: 1e-200, message: "sigma" },
  ])("refuses $name", async ({ b, sigma, message }) => {
    const refused = mmd2(rows("a", 6, 4), b, { sigma });
    await expect(refused).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining(message),
    });
  });

  it("stops where the signal is aborted, before and in the middle of the work", async () => {
    const a = rows("aborted", 6000, 400);
    await expect(mmd2(a, a, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ABORTED" });
    const stop = new AbortController();
    const work = mmd2(a, a, { signal: stop.signal });
    setTimeout(() => stop.abort(), 50);
    await expect(work).rejects.toMatchObject({ code: "ABORTED" });
  });
});

describe("the median distance", () => {
  const median = async (rows: number[][]) => {
    using tensor = Tensor.from(Float64Array.from(rows.flat()), [rows.length, rows[0]?.length ?? 0]);
    return await medianDistance(tensor);
  };

  it("is the middle one over all pairs, or the mean of the two in the middle", async () => {
    expect(
      await median([
        [0, 3],
        [4, 0],
        [0, 3],
      ]),
    ).toBe(5); // 5, 0, 5
    expect(await median([[0], [1], [3], [7]])).toBe(3.5); // 1, 2, 3, 4, 6, 7
  });

  it("is 0 where at least half of the pairs are equal rows, and where there is one row", async () => {
    const same = Array.from({ length: 4 }, () => [1, 2]);
    expect(await median([...same, [5, 5]])).toBe(0); // 6 of 10 pairs
    expect(await median([[1, 2]])).toBe(0);
  });

  it("looks at all rows, not at the first ones", async () => {
    // Of 3,000 rows the first 1,000 lie near each other: of all pairs, 2 in 9 are near.
    const rows = Array.from({ length: 3000 }, (_, i) => [i < 1000 ? i / 1000 : 1e6 * i]);
    const distances = Float64Array.from(
      rows.flatMap(([x], i) => rows.slice(i + 1).map(([y]) => Math.abs((x as number) - (y as number)))),
    ).sort();
    const half = distances.length / 2;
    const wanted = ((distances[Math.ceil(half) - 1] as number) + (distances[Math.floor(half)] as number)) / 2;
    expect(await median(rows)).toBeCloseTo(wanted, 6);
  });

  it("is taken over pairs of all rows drawn at random where there are more than 4,096, and is the same each time", async () => {
    // Of numbers spread evenly over [0, 1], half of the pairs lie nearer than 1 - 1/√2.
    const rows = Array.from({ length: 20_000 }, (_, i) => [i / 20_000]);
    const got = await median(rows);
    expect(Math.abs(got - (1 - Math.SQRT1_2))).toBeLessThan(2e-3);
    expect(await median(rows)).toBe(got);
  });

  it.each([
    [new Float32Array([1, Number.NaN]), [2, 1], "finite values for rows"],
    [new Float32Array(2), [2], "[rows, features]"],
  ])("refuses what are no rows of features", async (data, shape, message) => {
    using rows = Tensor.from(data, shape);
    await expect(medianDistance(rows)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining(message),
    });
  });
});
