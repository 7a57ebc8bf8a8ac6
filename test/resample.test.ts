import { describe, expect, it } from "vitest";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { bounds, normalise, resample, smooth, statistics } from "../dist/native/volumes.js";

const identity = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
const shifted = (k: number, j: number, i: number) => [1, 0, 0, k, 0, 1, 0, j, 0, 0, 1, i, 0, 0, 0, 1];

/** A volume [D, H, W] from the value at each voxel. */
function volume(shape: [number, number, number], value: (k: number, j: number, i: number) => number): Tensor {
  const [D, H, W] = shape;
  const data = new Float32Array(D * H * W);
  let voxel = 0;
  for (let k = 0; k < D; k++)
    for (let j = 0; j < H; j++) for (let i = 0; i < W; i++) data[voxel++] = value(k, j, i);
  return Tensor.from(data, shape);
}

const row = (...values: number[]) => Tensor.from(Float32Array.from(values), [1, 1, values.length]);
const numbers = async (tensor: Tensor) => [...((await tensor.toArray()) as Float32Array)];

describe("resampling", () => {
  it("by the identity returns the voxels, whatever the interpolation", async () => {
    const input = volume([3, 4, 5], (k, j, i) => (7 * k + 3 * j + i * i) % 5);
    for (const interpolation of ["linear", "nearest", "label-linear"] as const) {
      const output = await resample(input, { outputToInput: identity, shape: [3, 4, 5], interpolation });
      expect(await numbers(output)).toEqual(await numbers(input));
    }
  });

  it("linearly reproduces a linear ramp under an oblique map, and gives `outside` beyond half a voxel", async () => {
    const ramp = (k: number, j: number, i: number) => 2 * k - 3 * j + 0.5 * i + 10;
    const input = volume([6, 7, 8], ramp);
    const map = [0.7, 0.2, -0.1, 0.4, -0.3, 0.8, 0.25, 1.5, 0.1, -0.2, 0.9, 1.1, 0, 0, 0, 1];
    const shape = [7, 7, 7];
    const options = { outputToInput: map, shape, interpolation: "linear", outside: -99 } as const;
    const output = await numbers(await resample(input, options));
    let [inside, outside, voxel] = [0, 0, 0];
    for (let k = 0; k < 7; k++) {
      for (let j = 0; j < 7; j++) {
        for (let i = 0; i < 7; i++, voxel++) {
          const p = [0, 1, 2].map(
            (r) => map[4 * r] * k + map[4 * r + 1] * j + map[4 * r + 2] * i + map[4 * r + 3],
          );
          const [low, high] = [Math.min(...p), Math.max(p[0] - 5, p[1] - 6, p[2] - 7)];
          if (low >= 0 && high <= 0) {
            expect(output[voxel]).toBeCloseTo(ramp(p[0], p[1], p[2]), 4);
            inside++;
          } else if (low < -0.51 || high > 0.51) {
            expect(output[voxel]).toBe(-99);
            outside++;
          }
        }
      }
    }
    expect(inside).toBeGreaterThan(50);
    expect(outside).toBeGreaterThan(20);
  });

  it("takes the edge's value up to half a voxel outside the outermost centres", async () => {
    const half = { outputToInput: shifted(0, 0, -0.4), shape: [1, 1, 4], interpolation: "linear" } as const;
    const found = await numbers(await resample(row(10, 20, 30), half));
    [10, 16, 26, 30].forEach((value, index) => {
      if (index < 3) expect(found[index]).toBeCloseTo(value, 5);
    });
    expect(found[3]).toBeCloseTo(0, 5); // position 2.6: outside
  });

  it("by nearest takes the voxel that the position lies in", async () => {
    const at = async (shift: number) =>
      numbers(
        await resample(row(1, 2, 3), {
          outputToInput: shifted(0, 0, shift),
          shape: [1, 1, 3],
          interpolation: "nearest",
        }),
      );
    expect(await at(0.4)).toEqual([1, 2, 3]);
    expect(await at(0.6)).toEqual([2, 3, 0]);
    expect(await at(-0.6)).toEqual([0, 1, 2]);
  });

  it("label by label lets the label with the largest share win, where nearest takes a corner's", async () => {
    // At (0.4, 0.4) the corner 3 has a share of 0.6² = 0.36, the three voxels of label 1 together 0.64.
    const corner = volume([1, 2, 2], (_, j, i) => (j === 0 && i === 0 ? 3 : 1));
    const options = { outputToInput: shifted(0, 0.4, 0.4), shape: [1, 1, 1] };
    expect(await numbers(await resample(corner, { ...options, interpolation: "label-linear" }))).toEqual([1]);
    expect(await numbers(await resample(corner, { ...options, interpolation: "nearest" }))).toEqual([3]);
    // Interpolating the numbers would invent a label that is nowhere.
    const linear = await numbers(await resample(corner, { ...options, interpolation: "linear" }));
    expect(linear[0]).toBeCloseTo(1 + 2 * 0.36, 5);
  });

  it("label by label gives the smaller label where two are equal, and counts the outside as label 0", async () => {
    const between = async (shift: number) =>
      (
        await numbers(
          await resample(row(5, 2), {
            outputToInput: shifted(0, 0, shift),
            shape: [1, 1, 1],
            interpolation: "label-linear",
          }),
        )
      )[0];
    expect(await between(0.5)).toBe(2);
    expect(await between(0.49)).toBe(5);
    expect(await between(-0.49)).toBe(5);
    expect(await between(-0.5)).toBe(0);
    expect(await between(1.51)).toBe(0);
  });

  it("gives the same bits on one thread and on two", async () => {
    const input = volume([20, 40, 50], (k, j, i) => Math.sin(k * 1.3 + j * 0.7 + i * 0.31) * 50 + 60);
    const map = [0.9, 0.1, 0, 0.3, -0.1, 0.95, 0.05, 0.2, 0, -0.05, 1, 0.1, 0, 0, 0, 1];
    const all = async () => {
      const moved = await resample(input, {
        outputToInput: map,
        shape: [20, 40, 50],
        interpolation: "linear",
      });
      const smoothed = await smooth(moved, [0.7, 1.1, 2]);
      const normalised = await normalise(smoothed, { kind: "z-score" });
      return [await numbers(normalised), await statistics(smoothed)];
    };
    setThreads(1);
    const one = await all();
    setThreads(2);
    expect(await all()).toEqual(one);
  });

  it("refuses what is not a volume, a map that is not affine, and an empty shape", async () => {
    const options = { outputToInput: identity, shape: [1, 1, 1], interpolation: "linear" } as const;
    const flat = Tensor.from(new Float32Array(4), [2, 2]);
    await expect(resample(flat, options)).rejects.toMatchObject({ code: "BAD_INPUT" });
    const integers = Tensor.from(new Uint8Array(8), [2, 2, 2]);
    await expect(resample(integers, options)).rejects.toThrow(/Expected a float32 tensor \[D, H, W\]/);
    const skewed = [...identity.slice(0, 12), 0, 0, 0.1, 1];
    await expect(resample(row(1), { ...options, outputToInput: skewed })).rejects.toThrow(/affine/);
    const notFinite = [Number.NaN, ...identity.slice(1)];
    await expect(resample(row(1), { ...options, outputToInput: notFinite })).rejects.toThrow(/finite/);
    await expect(resample(row(1), { ...options, shape: [0, 1, 1] })).rejects.toThrow(/sizes > 0/);
  });
});

describe("the Gaussian against aliasing", () => {
  // SciPy 1.17.1: scipy.ndimage.gaussian_filter(v, sigmas), v[k, j, i] = (7k + 3j + i²) % 11, shape 3 x 4 x 5.
  const input = () => volume([3, 4, 5], (k, j, i) => (7 * k + 3 * j + i * i) % 11);

  it("agrees with SciPy, at the faces too", async () => {
    const smoothed = await numbers(await smooth(input(), [0.8, 0, 1.5]));
    const line = (k: number, j: number) => smoothed.slice((k * 4 + j) * 5, (k * 4 + j) * 5 + 5);
    [5.163775, 5.084823, 4.792777, 4.372471, 4.091016].forEach((v, i) => {
      expect(line(1, 2)[i]).toBeCloseTo(v, 5);
    });
    [2.607394, 3.163374, 4.024834, 4.741815, 5.054192].forEach((v, i) => {
      expect(line(0, 0)[i]).toBeCloseTo(v, 5);
    });
  });

  it("mirrors more than once where the kernel is longer than the axis", async () => {
    const smoothed = await numbers(await smooth(input(), [0, 3, 0]));
    [5.227605, 5.387165, 5.612835, 5.772395].forEach((v, j) => {
      expect(smoothed[(2 * 4 + j) * 5 + 3]).toBeCloseTo(v, 5);
    });
  });

  it("leaves a constant, and a volume with sigma 0, as they are", async () => {
    const constant = await smooth(
      volume([3, 4, 5], () => 7),
      [1, 2, 3],
    );
    for (const value of await numbers(constant)) expect(value).toBeCloseTo(7, 5);
    expect(await numbers(await smooth(input(), [0, 0, 0]))).toEqual(await numbers(input()));
  });

  it("refuses a negative sigma", async () => {
    await expect(smooth(input(), [0, -1, 0])).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});

describe("normalising", () => {
  const sixty = () => row(...Array.from({ length: 60 }, (_, n) => ((n * 37) % 101) / 8));

  it("uses percentiles as NumPy computes them", async () => {
    // NumPy 2.4.6: numpy.percentile of ((n * 37) % 101) / 8, n < 60, at 0.5, 99.5 and at 12.5, 80.
    for (const [low, high, floor, ceiling] of [
      [0.5, 99.5, 0.07375, 12.389375],
      [12.5, 80, 1.546875, 9.9],
    ]) {
      const values = await numbers(sixty());
      const result = await numbers(await normalise(sixty(), { kind: "percentiles", low, high }));
      result.forEach((value, n) => {
        const wanted = Math.min(1, Math.max(0, (values[n] - floor) / (ceiling - floor)));
        expect(value).toBeCloseTo(wanted, 6);
      });
    }
  });

  it("makes zeros of a constant volume", async () => {
    for (const method of [{ kind: "percentiles", low: 0.5, high: 99.5 }, { kind: "z-score" }] as const) {
      expect(await numbers(await normalise(row(4.7, 4.7, 4.7), method))).toEqual([0, 0, 0]);
    }
  });

  it("by z-score uses the mean and deviation of the voxels above zero", async () => {
    const result = await numbers(await normalise(row(-1, 0, 2, 4, 6), { kind: "z-score" }));
    const deviation = Math.sqrt(8 / 3);
    [-5, -4, -2, 0, 2].forEach((offset, n) => {
      expect(result[n]).toBeCloseTo(offset / deviation, 5);
    });
  });

  it("by range maps two given values to 0 and 1", async () => {
    const result = await numbers(
      await normalise(row(-100, 0, 750, 3000, 4000), { kind: "range", low: 0, high: 3000 }),
    );
    expect(result).toEqual([0, 0, 0.25, 1, 1]);
  });

  it("refuses voxels that are not finite, and percentiles in the wrong order", async () => {
    const method = { kind: "percentiles", low: 0.5, high: 99.5 } as const;
    await expect(normalise(row(1, Number.NaN, 3), method)).rejects.toThrow(/1 of 3 that are NaN or infinite/);
    await expect(normalise(row(1, 2), { ...method, low: 99.6 })).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});

describe("statistics of a volume", () => {
  it("are over the finite voxels, and count the others", async () => {
    const found = await statistics(row(1, 2, 3, 6, Number.NaN, Number.POSITIVE_INFINITY));
    expect(found).toMatchObject({ minimum: 1, maximum: 6, mean: 3, notFinite: 2 });
    expect(found.standardDeviation).toBeCloseTo(Math.sqrt(14 / 4), 12);
  });

  it("find the box around a mask, and none around an empty one", async () => {
    const mask = volume([4, 5, 6], (k, j, i) =>
      Number((k === 1 && j === 2 && i === 3) || (k === 2 && j === 4 && i === 1)),
    );
    expect(await bounds(mask)).toEqual({ low: [1, 2, 1], high: [2, 4, 3] });
    expect(await bounds(volume([4, 5, 6], () => 0.5))).toBeNull();
  });
});
