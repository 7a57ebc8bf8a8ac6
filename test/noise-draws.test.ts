import { errorFunction } from "simple-statistics";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";

/** Philox 4x32-10 (Salmon et al. 2011), written down from the paper with whole numbers of any length. */
function philox(counter: readonly bigint[], key: readonly bigint[]): bigint[] {
  const half = 2n ** 32n;
  let [a, b, c, d] = counter as [bigint, bigint, bigint, bigint];
  let [first, second] = key as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const [left, right] = [0xd2511f53n * a, 0xcd9e8d57n * c];
    [a, b, c, d] = [(right / half) ^ b ^ first, right % half, (left / half) ^ d ^ second, left % half];
    first = (first + 0x9e3779b9n) % half;
    second = (second + 0xbb67ae85n) % half;
  }
  return [a, b, c, d];
}

/** What Box and Muller (1958) make of the words of the first blocks of a seed, in float64. */
function normalsOf(seed: number, count: number): number[] {
  const key = [BigInt(seed) % 2n ** 32n, BigInt(seed) / 2n ** 32n];
  return Array.from({ length: Math.ceil(count / 4) }, (_, block) => {
    const words = philox([BigInt(block), 0n, 0n, 0n], key).map(Number) as [number, number, number, number];
    const pair = (radius: number, angle: number) => {
      const length = Math.sqrt(-2 * Math.log((Math.floor(radius / 2) + 0.5) / 2 ** 31));
      const turn = (2 * Math.PI * (angle + 0.5)) / 2 ** 32;
      return [length * Math.cos(turn), length * Math.sin(turn)];
    };
    return [...pair(words[0], words[1]), ...pair(words[2], words[3])];
  })
    .flat()
    .slice(0, count);
}

async function drawn(shape: number[], seed: number): Promise<Float32Array> {
  using tensor = await Tensor.normal(shape, seed);
  return (await tensor.toArray()) as Float32Array;
}

const sameBits = (a: Float32Array, b: Float32Array): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));

describe("Philox 4x32-10 as this test has it", () => {
  it("gives the answers that Random123 is published with", () => {
    const all = 0xffffffffn;
    expect(philox([0n, 0n, 0n, 0n], [0n, 0n])).toEqual([0x6627e8d5n, 0xe169c58dn, 0xbc57ac4cn, 0x9b00dbd8n]);
    expect(philox([all, all, all, all], [all, all])).toEqual([
      0x408f276dn,
      0x41c83b0en,
      0xa20bc7c6n,
      0x6d5451fdn,
    ]);
    expect(philox([0x243f6a88n, 0x85a308d3n, 0x13198a2en, 0x03707344n], [0xa4093822n, 0x299f31d0n])).toEqual([
      0xd16cfe09n,
      0x94fdccebn,
      0x5001e420n,
      0x24126ea1n,
    ]);
  });
});

describe("normal draws", () => {
  beforeAll(() => setThreads(2));
  afterAll(() => setThreads(1));

  it("are what Box and Muller make of Philox's words", async () => {
    for (const seed of [0, 1, 4294967295, 2 ** 40 + 3]) {
      const got = await drawn([1001], seed);
      const worst = normalsOf(seed, 1001).map((value, n) => Math.abs(value - (got[n] as number)));
      expect(Math.max(...worst)).toBeLessThan(1e-6);
    }
  });

  it("are the same by one thread and by two, in whatever shape, and in a longer tensor", async () => {
    const shape = [3, 41, 50, 67]; // divides by neither the numbers of a block nor those that are made at once
    const two = await drawn(shape, 12);
    setThreads(1);
    expect(sameBits(await drawn(shape, 12), two)).toBe(true);
    setThreads(2);
    expect(sameBits(await drawn([two.length], 12), two)).toBe(true);
    for (const length of [1, 2, 127, 129, 99_999])
      expect(sameBits(await drawn([length], 12), two.slice(0, length))).toBe(true);
    expect(await drawn([0, 5], 12)).toHaveLength(0);
  });

  it("differ from seed to seed, without a relation between them", async () => {
    const count = 1_000_000;
    const [a, b] = [await drawn([count], 1), await drawn([count], 2)];
    const sum = a.reduce((total, value, n) => total + value * (b[n] as number), 0);
    expect(Math.abs(sum) / count).toBeLessThan(4 / Math.sqrt(count));
  });

  it("follow the normal distribution, each independent of those before it: ten million of them", async () => {
    const count = 10_000_000;
    const values = await drawn([count], 20_261_129);

    // Lags 1 to 64, of the values and of their squares: 4.5 standard errors are passed once in a thousand such tests.
    const correlation = (list: Float32Array, centre: number, variance: number, lag: number) => {
      let sum = 0;
      for (let n = lag; n < count; n++)
        sum += ((list[n] as number) - centre) * ((list[n - lag] as number) - centre);
      return sum / (count - lag) / variance;
    };
    const squares = values.map((value) => value * value);
    for (let lag = 1; lag <= 64; lag++) {
      expect(Math.abs(correlation(values, 0, 1, lag)), `lag ${lag}`).toBeLessThan(4.5 / Math.sqrt(count));
      expect(Math.abs(correlation(squares, 1, 2, lag)), `lag ${lag}`).toBeLessThan(4.5 / Math.sqrt(count));
    }

    // Kolmogorov and Smirnov: sqrt(n) D is above 1.95 once in a thousand times.
    values.sort();
    let distance = 0;
    let beyondFour = 0;
    for (let n = 0; n < count; n++) {
      const value = values[n] as number;
      const below = (1 + errorFunction(value / Math.SQRT2)) / 2;
      distance = Math.max(distance, (n + 1) / count - below, below - n / count);
      if (Math.abs(value) > 4) beyondFour++;
    }
    expect(Math.sqrt(count) * distance).toBeLessThan(1.95);
    // Of the tails: 2 (1 - Phi(4)) = 6.334e-5, and the ends of ten million draws
    expect(Math.abs(beyondFour - 633.4)).toBeLessThan(4 * Math.sqrt(633.4));
    expect(values[0]).toBeLessThan(-4.6);
    expect(values[count - 1]).toBeGreaterThan(4.6);
  }, 300_000);
});
