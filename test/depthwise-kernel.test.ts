import { afterEach, describe, expect, it } from "vitest";
import { arrange, depthwiseConv3d, type Layout } from "../dist/native/kernels.js";
import { setThreads, threads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";

type Shape = [number, number, number, number, number];
const count = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** Sums over the definition: out[n, c, p] = bias[c] + sum over taps k of in[n, c, p + k - radius] weight[c, k]. */
function reference(
  [n, c, d, h, w]: Shape,
  k: number,
  x: Float64Array,
  weight: Float64Array,
  bias: Float64Array,
) {
  const radius = (k - 1) / 2;
  /** Calls `visit` for every pair of an output voxel and a tap that meets an input voxel. */
  function pairs(visit: (out: number, input: number, tap: number, channel: number) => void) {
    for (let plane = 0; plane < n * c; plane++) {
      for (let voxel = 0; voxel < d * h * w; voxel++) {
        const [z, y, column] = [Math.floor(voxel / (h * w)), Math.floor(voxel / w) % h, voxel % w];
        for (let tap = 0; tap < k ** 3; tap++) {
          const u = z + Math.floor(tap / (k * k)) - radius;
          const v = y + (Math.floor(tap / k) % k) - radius;
          const t = column + (tap % k) - radius;
          if (u < 0 || v < 0 || t < 0 || u >= d || v >= h || t >= w) continue;
          const base = plane * d * h * w;
          visit(base + voxel, base + (u * h + v) * w + t, (plane % c) * k ** 3 + tap, plane % c);
        }
      }
    }
  }
  const at = (array: Float64Array, index: number) => array[index] as number;
  const output = Float64Array.from({ length: x.length }, (_, i) => at(bias, Math.floor(i / (d * h * w)) % c));
  pairs((out, input, tap) => {
    output[out] = at(output, out) + at(x, input) * at(weight, tap);
  });
  const gradients = (g: Float64Array) => {
    const to = [new Float64Array(x.length), new Float64Array(weight.length), new Float64Array(c)] as const;
    pairs((out, input, tap) => {
      to[0][input] = at(to[0], input) + at(g, out) * at(weight, tap);
      to[1][tap] = at(to[1], tap) + at(g, out) * at(x, input);
    });
    g.forEach((value, i) => {
      const channel = Math.floor(i / (d * h * w)) % c;
      to[2][channel] = at(to[2], channel) + value;
    });
    return to;
  };
  return { output, gradients };
}

function relativeError(values: ArrayLike<number>, wanted: Float64Array): number {
  let [difference, size] = [0, 0];
  wanted.forEach((value, i) => {
    difference += ((values[i] as number) - value) ** 2;
    size += value ** 2;
  });
  return Math.sqrt(difference / size);
}

const names = ["input", "weight", "bias", "gradient"];
const sizes = (shape: Shape, k: number) => [shape, [shape[1], 1, k, k, k], [shape[1]], shape];

/** Irregular numbers that float32 holds. */
const inputs = (shape: Shape, k: number) =>
  sizes(shape, k).map((size, i) => Float32Array.from(hashFill(names[i] as string, count(size))));

/** Output and gradients by the kernel, with numbers of the given type in the given layout. */
async function run(shape: Shape, k: number, dtype: "float32" | "float64" | "bfloat16", layout: Layout) {
  const shapes = sizes(shape, k);
  const values = inputs(shape, k).map((data) => (dtype === "float64" ? Float64Array.from(data) : data));
  const given = values.map((data, i) => Tensor.from(data, shapes[i] as number[]));
  const tensors = await Promise.all(
    given.map((tensor, i) => (i === 0 || i === 3 ? arrange(tensor, layout) : tensor)),
  );
  const [input, weight, bias, gradient] = tensors as [Tensor, Tensor, Tensor, Tensor];
  const answers = [
    ...(await depthwiseConv3d(input, weight, bias, null, dtype)),
    ...(await depthwiseConv3d(input, weight, bias, gradient, dtype)),
  ];
  const arrays = await Promise.all(
    answers.map((answer) => answer.toArray() as Promise<Float32Array | Float64Array>),
  );
  expect(answers.map((answer) => answer.shape)).toEqual([shape, shape, shapes[1], shapes[2]]);
  for (const tensor of [...given, ...tensors, ...answers]) tensor.dispose();
  return arrays;
}

describe("the depthwise convolution's kernel", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  // Widths: one voxel, less than the kernel, one column's worth, several columns; channels: blocks of 16, 8 and 4, and
  // some left over.
  const shapes: [Shape, number][] = [
    [[1, 1, 1, 1, 1], 7],
    [[2, 5, 4, 3, 2], 7],
    [[1, 16, 3, 5, 14], 7],
    [[1, 31, 4, 5, 15], 7],
    [[2, 4, 2, 9, 31], 7],
    [[1, 9, 3, 2, 45], 7],
    [[1, 19, 4, 5, 6], 3],
    [[2, 3, 5, 6, 7], 5],
    [[1, 6, 2, 3, 4], 1],
  ];
  it.each(shapes)(
    "%j with a kernel of %i agrees with the definition, in every layout and type",
    async (shape, k) => {
      const values = inputs(shape, k).map((array) => Float64Array.from(array));
      const [x, weight, bias, g] = values as [Float64Array, Float64Array, Float64Array, Float64Array];
      const { output, gradients } = reference(shape, k, x, weight, bias);
      const wanted = [output, ...gradients(g)];
      for (const [dtype, tolerance] of [
        ["float64", 1e-14],
        ["float32", 1e-6],
        ["bfloat16", 2e-2],
      ] as const) {
        for (const layout of ["contiguous", "channels-last", "strided"] as const) {
          const arrays = await run(shape, k, dtype, layout);
          wanted.forEach((array, i) => {
            expect(relativeError(arrays[i] as Float32Array, array)).toBeLessThan(tolerance);
          });
        }
      }
    },
  );

  it("gives the same bits whatever the number of threads", async () => {
    const before = threads();
    try {
      setThreads(1);
      const alone = await run([2, 24, 9, 10, 20], 7, "float32", "channels-last");
      for (const several of [2, 3]) {
        setThreads(several);
        expect(await run([2, 24, 9, 10, 20], 7, "float32", "channels-last")).toEqual(alone);
      }
    } finally {
      setThreads(before);
    }
  });

  it.each([
    { name: "another number of channels", weight: [3, 1, 7, 7, 7], message: "3 channels" },
    { name: "an even kernel", weight: [2, 1, 4, 4, 4], message: "an odd kernel" },
    { name: "a kernel that is not cubic", weight: [2, 1, 3, 3, 5], message: "[C, 1, k, k, k]" },
  ])("refuses $name", async ({ weight, message }) => {
    using x = Tensor.from(new Float32Array(2 * 60), [1, 2, 3, 4, 5]);
    using w = Tensor.from(new Float32Array(count(weight)), weight);
    using b = Tensor.from(new Float32Array(2), [2]);
    await expect(depthwiseConv3d(x, w, b)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining(message),
    });
  });
});
