import { beforeAll, describe, expect, it } from "vitest";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { jacobianMinimum, warp } from "../dist/native/volumes.js";
import { hashFill } from "./hash-fill.js";

beforeAll(() => setThreads(1));

type Triple = [number, number, number];
const countOf = ([D, H, W]: Triple) => D * H * W;

/** A volume of a function of (k, j, i). */
const volumeOf = (shape: Triple, value: (k: number, j: number, i: number) => number): Float32Array => {
  const [, H, W] = shape;
  return Float32Array.from({ length: countOf(shape) }, (_, n) =>
    value(Math.floor(n / (H * W)), Math.floor(n / W) % H, n % W),
  );
};
const fieldOf = (shape: Triple, value: (k: number, j: number, i: number) => Triple): Float32Array => {
  const components = [0, 1, 2].map((axis) => volumeOf(shape, (k, j, i) => value(k, j, i)[axis] as number));
  return Float32Array.from(components.flatMap((component) => [...component]));
};
const warped = async (volume: Float32Array, field: Float32Array, shape: Triple): Promise<Float32Array> => {
  using image = Tensor.from(volume, shape);
  using displacement = Tensor.from(field, [3, ...shape]);
  using result = await warp(image, displacement);
  expect(result.shape).toEqual(shape);
  return (await result.toArray()) as Float32Array;
};
const minimumOf = async (field: Float32Array, shape: Triple): Promise<number> => {
  using displacement = Tensor.from(field, [3, ...shape]);
  return jacobianMinimum(displacement);
};

const determinant = ([a, b, c]: readonly (readonly number[])[]): number =>
  a[0] * (b[1] * c[2] - b[2] * c[1]) -
  a[1] * (b[0] * c[2] - b[2] * c[0]) +
  a[2] * (b[0] * c[1] - b[1] * c[0]);

/** x + u(x) of the field, interpolated trilinearly at a position inside the volume: a loop over eight corners. */
function mapped(field: Float32Array, shape: Triple, position: Triple): number[] {
  const low = position.map((x, axis) => Math.min(Math.floor(x), (shape[axis] as number) - 2));
  return [0, 1, 2].map((component) => {
    let sum = position[component] as number;
    for (let corner = 0; corner < 8; corner++) {
      let weight = 1;
      const index = [0, 1, 2].map((axis) => {
        const step = (corner >> axis) & 1;
        const t = (position[axis] as number) - (low[axis] as number);
        weight *= step ? t : 1 - t;
        return (low[axis] as number) + step;
      });
      const flat = ((component * shape[0] + index[0]) * shape[1] + index[1]) * shape[2] + index[2];
      sum += weight * (field[flat] as number);
    }
    return sum;
  });
}

describe("warping a volume", () => {
  it("by a field of zeros is the identity to the bit", async () => {
    const shape: Triple = [5, 7, 9];
    const volume = Float32Array.from(hashFill("volume", countOf(shape)));
    expect(await warped(volume, new Float32Array(3 * countOf(shape)), shape)).toEqual(volume);
  });

  it("by a constant shift moves voxels and repeats the edge", async () => {
    const shape: Triple = [3, 5, 6];
    const volume = Float32Array.from(hashFill("shifted", countOf(shape)));
    const at = (k: number, j: number, i: number) => {
      const [a, b, c] = [k, j, i].map((x, axis) => Math.min(Math.max(x, 0), (shape[axis] as number) - 1));
      return volume[(a * shape[1] + b) * shape[2] + c] as number;
    };
    const result = await warped(
      volume,
      fieldOf(shape, () => [-1, 2, 3]),
      shape,
    );
    expect(result).toEqual(volumeOf(shape, (k, j, i) => at(k - 1, j + 2, i + 3)));
  });

  it("samples a linear image at x + u(x) exactly, whatever the field", async () => {
    const shape: Triple = [8, 9, 10];
    const noise = hashFill("field", 3 * countOf(shape));
    const inside = fieldOf(shape, (k, j, i) => {
      const n = (k * shape[1] + j) * shape[2] + i;
      // Displaced to anywhere inside the volume.
      return [k, j, i].map((x, axis) => {
        const share = ((noise[axis * countOf(shape) + n] as number) + 1) / 2;
        return share * ((shape[axis] as number) - 1) - x;
      }) as Triple;
    });
    const image = (k: number, j: number, i: number) => 3 + 0.5 * k - 0.25 * j + 2 * i;
    const result = await warped(volumeOf(shape, image), inside, shape);
    for (const [n, value] of result.entries()) {
      const index = [Math.floor(n / 90), Math.floor(n / 10) % 9, n % 10];
      const [k, j, i] = index.map((x, axis) => x + (inside[axis * countOf(shape) + n] as number)) as Triple;
      expect(value).toBeCloseTo(image(k, j, i), 4);
    }
  });

  it("agrees with scipy.ndimage.map_coordinates", async () => {
    // SciPy 1.17.1: map_coordinates(volume, grid + field, order=1, mode="nearest") in float64, for the arrays below.
    const expected = [
      0.017577, 0.168992, 0.651837, 0.421542, 0.617526, 0.10037, 0.583215, 0.646802, 0.459676, 0.623762,
      0.395781, 0.75325, 0.375533, 0.685135, 0.711352, 0.757836, 0.169727, 0.270862, 0.482108, 0.294676,
      0.241258, 0.246502, 0.617764, 0.686455, 0.413031, 0.059555, 0.37872, 0.861565, 0.344409, 0.718472,
      0.318887, 0.73026, 0.401581, 0.734232, 0.76045, 0.680888, 0.546915, 0.75317, 0.895022, 0.193318,
      0.237624, 0.237624, 0.480471, 0.188993, 0.44616, 0.283236, 0.188526, 0.692344, 0.528604, 0.699981,
      0.191376, 0.503391, 0.188526, 0.687101, 0.809547, 0.60408, 0.214328, 0.604328, 0.915757, 0.921001,
    ];
    const volume = Float32Array.from({ length: 60 }, (_, n) => ((n * 7919) % 101) / 101);
    const field = Float32Array.from({ length: 180 }, (_, n) => (((n * 104729) % 997) / 997) * 4 - 2);
    const result = await warped(volume, field, [3, 4, 5]);
    for (const [n, value] of expected.entries()) expect(result[n]).toBeCloseTo(value, 5);
  });

  it("refuses a field of another shape, and displacements that are not finite", async () => {
    const shape: Triple = [2, 3, 4];
    using image = Tensor.from(new Float32Array(24), shape);
    using other = Tensor.from(new Float32Array(72), [3, 2, 4, 3]);
    await expect(warp(image, other)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("[3, D, H, W]"),
    });
    using flat = Tensor.from(new Float32Array(48), [2, 2, 3, 4]);
    await expect(warp(image, flat)).rejects.toMatchObject({ code: "BAD_INPUT" });
    using holes = Tensor.from(new Float32Array(72).fill(Number.NaN), [3, ...shape]);
    await expect(warp(image, holes)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("finite"),
    });
  });
});

describe("the smallest Jacobian determinant", () => {
  const shape: Triple = [5, 6, 7];

  it("is 1 where nothing moves or everything moves alike", async () => {
    expect(await minimumOf(new Float32Array(3 * countOf(shape)), shape)).toBe(1);
    expect(
      await minimumOf(
        fieldOf(shape, () => [2, -3, 0.5]),
        shape,
      ),
    ).toBe(1);
  });

  it("of a linear field u = A x is det(I + A)", async () => {
    const A = [
      [0.25, -0.5, 0.125],
      [0.375, -0.25, 0.5],
      [-0.125, 0.75, 0.5],
    ];
    const linear = fieldOf(
      shape,
      (...x) => A.map((row) => row.reduce((s, a, c) => s + a * x[c], 0)) as Triple,
    );
    const exact = determinant(A.map((row, r) => row.map((a, c) => a + (r === c ? 1 : 0))));
    expect(await minimumOf(linear, shape)).toBeCloseTo(exact, 6);
  });

  it("of a mirror is negative", async () => {
    expect(
      await minimumOf(
        fieldOf(shape, (_, j) => [0, -2 * j, 0]),
        shape,
      ),
    ).toBeCloseTo(-1, 6);
  });

  it("finds the one cell that folds, at either side of a voxel", async () => {
    const jump = (at: number) =>
      fieldOf(shape, (k, j, i) => [0, k === 2 && j === at && i === 3 ? 1.5 : 0, 0]);
    // Voxel 3 steps over voxel 4: 1 + (0 - 1.5). At the last voxel nothing follows that could be stepped over.
    expect(await minimumOf(jump(3), shape)).toBeCloseTo(-0.5, 6);
    expect(await minimumOf(jump(5), shape)).toBeCloseTo(1, 6);
  });

  it("lies below the determinant everywhere between the voxels, and not far below", async () => {
    const small: Triple = [3, 4, 3];
    const field = new Float32Array(hashFill("folds", 3 * countOf(small)).map((value) => 0.3 * value));
    const bound = await minimumOf(field, small);
    const steps = 6;
    const h = 1e-4;
    let least = Number.POSITIVE_INFINITY;
    for (let k = 0; k < (small[0] - 1) * steps; k++)
      for (let j = 0; j < (small[1] - 1) * steps; j++)
        for (let i = 0; i < (small[2] - 1) * steps; i++) {
          // Central differences inside a cell.
          const x = [k, j, i].map((index) => (index + 0.5) / steps) as Triple;
          const derivatives = [0, 1, 2].map((axis) => {
            const shifted = (by: number) =>
              mapped(field, small, x.map((value, a) => value + (a === axis ? by : 0)) as Triple);
            const [before, after] = [shifted(-h), shifted(h)];
            return after.map((value, component) => (value - (before[component] as number)) / (2 * h));
          });
          least = Math.min(least, determinant(derivatives));
        }
    expect(bound).toBeLessThanOrEqual(least + 1e-6);
    expect(bound).toBeGreaterThan(least - 0.3);
  });

  it("of a plane of voxels looks at the plane alone", async () => {
    const plane: Triple = [1, 4, 5];
    expect(
      await minimumOf(
        fieldOf(plane, (_, j, i) => [0, -0.5 * j, 0.25 * i]),
        plane,
      ),
    ).toBeCloseTo(0.5 * 1.25, 6);
  });
});
