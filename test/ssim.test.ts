import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { arrange, type Layout, lossGradient, ssim3d as ssimOfSamples } from "../dist/native/kernels.js";
import { setThreads, threads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { ssim3d } from "../dist/tasks/metrics.js";
import { hashFill } from "./hash-fill.js";
import { shared, sharedMissing } from "./shared.js";

interface Case {
  shape: [number, number, number];
  noise: number;
  gaussian: { meanOverValidWindow: number };
}

const volume = (shape: number[], value: (i: number, index: number) => number) => ({
  data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, index) => value(index, index)),
  shape,
});

/** a: a ramp with noise; b: a with more noise, clipped to [0, 1]: the recipe of the golden numbers. */
function pair([d, h, w]: [number, number, number], noise: number) {
  const ua = hashFill("ssimAA", d * h * w);
  const ub = hashFill("ssimBA", d * h * w);
  const a = volume([d, h, w], (index) => {
    const sum = Math.floor(index / (h * w)) + (Math.floor(index / w) % h) + (index % w);
    return 0.5 * (sum / (d + h + w)) + 0.25 * (1 + (ua[index] as number));
  });
  const b = volume([d, h, w], (index) => {
    return Math.min(1, Math.max(0, (a.data[index] as number) + noise * (ub[index] as number)));
  });
  return { a, b };
}
const float32 = ({ data, shape }: { data: Float64Array; shape: number[] }) => ({
  data: Float32Array.from(data),
  shape,
});

/** The definition for one window that fills the volume: 11 x 11 x 11. */
function oneWindow(a: Float64Array, b: Float64Array, range: number): number {
  const tap = (i: number) => Math.exp(-((i - 5) ** 2) / (2 * 1.5 ** 2));
  const total = [...Array(11).keys()].reduce((sum, i) => sum + tap(i), 0);
  const weight = (index: number) =>
    (tap(Math.floor(index / 121)) * tap(Math.floor(index / 11) % 11) * tap(index % 11)) / total ** 3;
  const mean = (values: Float64Array) => values.reduce((sum, value, i) => sum + weight(i) * value, 0);
  const [meanA, meanB] = [mean(a), mean(b)];
  const centredA = a.map((value) => value - meanA);
  const centredB = b.map((value) => value - meanB);
  const covariance = mean(centredA.map((value, i) => value * (centredB[i] as number)));
  const [varianceA, varianceB] = [mean(centredA.map((v) => v * v)), mean(centredB.map((v) => v * v))];
  const [c1, c2] = [(0.01 * range) ** 2, (0.03 * range) ** 2];
  const luminance = (2 * meanA * meanB + c1) / (meanA ** 2 + meanB ** 2 + c1);
  return (luminance * (2 * covariance + c2)) / (varianceA + varianceB + c2);
}

describe.skipIf(sharedMissing)("golden SSIM (needs the shared folder beside the checkout)", () => {
  const { cases } = sharedMissing
    ? { cases: [] }
    : (JSON.parse(readFileSync(shared("parity/numbers/ssim3d.json"), "utf8")) as { cases: Case[] });

  // scikit-image in float32: that is why no more than 1e-6 agrees.
  it.each(cases)("$shape with noise $noise is scikit-image's to 1e-6", async ({ shape, noise, gaussian }) => {
    const { a, b } = pair(shape, noise);
    expect(Math.abs((await ssim3d(a, b, { dataRange: 1 })) - gaussian.meanOverValidWindow)).toBeLessThan(
      1e-6,
    );
    const single = await ssim3d(float32(a), float32(b), { dataRange: 1 });
    expect(Math.abs(single - gaussian.meanOverValidWindow)).toBeLessThan(1e-6);
  });
});

describe("SSIM in three dimensions", () => {
  it("of one window is its definition", async () => {
    const { a, b } = pair([11, 11, 11], 0.5);
    expect(await ssim3d(a, b)).toBeCloseTo(oneWindow(a.data, b.data, 1), 13);
    expect(await ssim3d(a, b, { dataRange: 3 })).toBeCloseTo(oneWindow(a.data, b.data, 3), 13);
  });

  it("of a volume with itself is 1, symmetric, and at most 1", async () => {
    const { a, b } = pair([12, 14, 13], 0.3);
    expect(await ssim3d(a, a)).toBeCloseTo(1, 14);
    const value = await ssim3d(a, b);
    expect(await ssim3d(b, a)).toBeCloseTo(value, 14);
    expect(value).toBeLessThan(1);
  });

  it("of two constants is the luminance term alone", async () => {
    const [a, b] = [volume([11, 12, 13], () => 0.2), volume([11, 12, 13], () => 0.6)];
    expect(await ssim3d(a, b)).toBeCloseTo((2 * 0.2 * 0.6 + 1e-4) / (0.2 ** 2 + 0.6 ** 2 + 1e-4), 10);
  });

  it("scales with the data range, and treats the three axes alike", async () => {
    const { a, b } = pair([12, 12, 12], 0.3);
    const value = await ssim3d(a, b);
    const times = (v: typeof a, factor: number) => ({ ...v, data: v.data.map((x) => x * factor) });
    expect(await ssim3d(times(a, 250), times(b, 250), { dataRange: 250 })).toBeCloseTo(value, 12);
    const turn = (v: typeof a) => ({
      ...v,
      data: v.data.map(
        (_, i) => v.data[(i % 12) * 144 + Math.floor(i / 144) * 12 + (Math.floor(i / 12) % 12)] as number,
      ),
    });
    expect(await ssim3d(turn(a), turn(b))).toBeCloseTo(value, 13);
  });

  it("averages over channels and windows of each sample, and over samples", async () => {
    const parts = [0.1, 0.4, 0.2, 0.6].map((noise) => pair([11, 13, 12], noise));
    const values = await Promise.all(parts.map(({ a, b }) => ssim3d(a, b)));
    const stack = (of: "a" | "b") => Float64Array.from(parts.flatMap((part) => [...part[of].data]));
    const shape = [2, 2, 11, 13, 12];
    using a = Tensor.from(stack("a"), shape);
    using b = Tensor.from(stack("b"), shape);
    const samples = await ssimOfSamples(a, b, 1);
    expect(samples).toHaveLength(2);
    const [v0, v1, v2, v3] = values as [number, number, number, number];
    expect(samples[0]).toBeCloseTo((v0 + v1) / 2, 13);
    expect(samples[1]).toBeCloseTo((v2 + v3) / 2, 13);
    expect(await ssim3d(a, b)).toBeCloseTo((v0 + v1 + v2 + v3) / 4, 13);
  });

  it.each([
    {
      name: "a volume thinner than its window",
      a: [8, 12, 12],
      b: [8, 12, 12],
      message: "every spatial size >= 11",
    },
    { name: "two shapes", a: [11, 11, 12], b: [11, 12, 11], message: "volumes of one shape" },
    { name: "four dimensions", a: [1, 11, 11, 11], b: [1, 11, 11, 11], message: "[N, C, D, H, W]" },
  ])("refuses $name", async ({ a, b, message }) => {
    const refused = ssim3d(
      volume(a, () => 1),
      volume(b, () => 1),
    );
    await expect(refused).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining(message),
    });
  });

  it("refuses voxels that are not finite and a data range that is not positive", async () => {
    const { a, b } = pair([11, 11, 11], 0.1);
    await expect(ssim3d(a, b, { dataRange: 0 })).rejects.toThrow(
      "a positive number for dataRange but received 0",
    );
    b.data[700] = Number.NaN;
    await expect(ssim3d(a, b)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("finite"),
    });
  });

  it("and its gradient are float32's as float64's, in every layout, and of any number of threads", async () => {
    const shape = [2, 2, 13, 11, 17];
    const length = shape.reduce((product, size) => product * size, 1);
    const data = ["layout a", "layout b"].map(
      (name) => new Float32Array(hashFill(name, length).map((value) => 0.5 + 0.3 * value)),
    ) as [Float32Array, Float32Array];
    const evaluate = async (type: typeof Float32Array | typeof Float64Array, layout: Layout) => {
      using x = Tensor.from(type.from(data[0]), shape);
      using y = Tensor.from(type.from(data[1]), shape);
      using a = await arrange(x, layout);
      using b = await arrange(y, layout);
      const values = await ssimOfSamples(a, b, 1);
      const { value, gradient } = await lossGradient({ kind: "ssim", dataRange: 1 }, a, b);
      using g = gradient;
      return { values, value, gradient: Array.from((await g.toArray()) as Float64Array) };
    };
    const precise = await evaluate(Float64Array, "contiguous");
    const before = threads();
    try {
      for (const layout of ["contiguous", "channels-last", "strided"] as const) {
        expect(await evaluate(Float64Array, layout)).toEqual(precise);
        setThreads(1);
        const single = await evaluate(Float32Array, layout);
        setThreads(2);
        expect(await evaluate(Float32Array, layout)).toEqual(single);
        single.values.forEach((value, i) => {
          expect(value).toBeCloseTo(precise.values[i] as number, 14);
        });
        expect(single.value).toBeCloseTo(precise.value, 6);
        const largest = Math.max(...precise.gradient.map(Math.abs));
        single.gradient.forEach((value, i) => {
          expect(Math.abs(value - (precise.gradient[i] as number)) / largest).toBeLessThan(1e-6);
        });
      }
    } finally {
      setThreads(before);
    }
  });
});
