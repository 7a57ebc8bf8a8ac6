import { describe, expect, it } from "vitest";
import { relativeError } from "../dist/bench/timing.js";
import { conv3dSame } from "../dist/native/kernels.js";
import { setThreads, threads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";

type Sizes = [number, number, number, number, number];

const filled = (sizes: readonly number[], seed: number) =>
  Float32Array.from(
    hashFill(
      `convolution ${seed}`,
      sizes.reduce((product, size) => product * size, 1),
    ),
  );

/** The definition in float64: [output, gradient of the input, gradient of the weight]. */
function reference(
  x: Float32Array,
  [samples, channels, depth, height, width]: Sizes,
  weight: Float32Array,
  outputs: number,
  gradient: Float32Array,
) {
  const voxels = depth * height * width;
  const output = new Float64Array(samples * outputs * voxels);
  const toInput = new Float64Array(x.length);
  const toWeight = new Float64Array(weight.length);
  const at = (array: ArrayLike<number>, index: number) => array[index] as number;
  for (let tap = 0; tap < 27; ++tap) {
    const [dz, dy, dx] = [Math.floor(tap / 9) - 1, (Math.floor(tap / 3) % 3) - 1, (tap % 3) - 1];
    for (let z = Math.max(0, -dz); z < depth - Math.max(0, dz); ++z) {
      for (let y = Math.max(0, -dy); y < height - Math.max(0, dy); ++y) {
        for (let column = Math.max(0, -dx); column < width - Math.max(0, dx); ++column) {
          const to = (z * height + y) * width + column;
          const from = ((z + dz) * height + y + dy) * width + column + dx;
          for (let pair = 0; pair < samples * outputs * channels; ++pair) {
            const c = pair % channels;
            const o = Math.floor(pair / channels) % outputs;
            const n = Math.floor(pair / channels / outputs);
            const [input, answer] = [(n * channels + c) * voxels + from, (n * outputs + o) * voxels + to];
            const own = (o * channels + c) * 27 + tap;
            output[answer] = at(output, answer) + at(x, input) * at(weight, own);
            toInput[input] = at(toInput, input) + at(gradient, answer) * at(weight, own);
            toWeight[own] = at(toWeight, own) + at(gradient, answer) * at(x, input);
          }
        }
      }
    }
  }
  return [output, toInput, toWeight] as const;
}

async function computed(
  x: Float32Array,
  sizes: Sizes,
  weight: Float32Array,
  outputs: number,
  gradient: Float32Array,
) {
  const [, channels, ...edges] = sizes;
  const input = Tensor.from(x, sizes);
  const kernels = Tensor.from(weight, [outputs, channels, 3, 3, 3]);
  const back = Tensor.from(gradient, [sizes[0], outputs, ...edges]);
  const answers = [...(await conv3dSame(input, kernels)), ...(await conv3dSame(input, kernels, back))];
  return Promise.all(answers.map(async (tensor) => (await tensor.toArray()) as Float32Array));
}

// More than 64 tiles of 2 x 2 x 2 voxels each: fewer are convolved by LibTorch.
const cases: { name: string; sizes: Sizes; outputs: number }[] = [
  { name: "eight channels and even sizes", sizes: [1, 8, 8, 8, 10], outputs: 8 },
  {
    name: "odd sizes, whose last tiles are filled in part, and two samples",
    sizes: [2, 8, 7, 9, 11],
    outputs: 16,
  },
  { name: "sixteen channels to twenty-four", sizes: [1, 16, 9, 8, 9], outputs: 24 },
  { name: "channels that are worked on a step at a time", sizes: [1, 40, 8, 9, 8], outputs: 24 },
  { name: "six channels to twelve, which fill vectors in part", sizes: [2, 6, 7, 8, 9], outputs: 12 },
  { name: "thirteen channels to seven", sizes: [1, 13, 8, 9, 8], outputs: 7 },
  { name: "vectors in part that are worked on a step at a time", sizes: [1, 20, 9, 8, 7], outputs: 29 },
  { name: "three channels, which are left to LibTorch", sizes: [1, 3, 8, 9, 8], outputs: 8 },
  { name: "three planes", sizes: [2, 16, 3, 16, 22], outputs: 8 },
  { name: "a single plane, which is left to LibTorch", sizes: [2, 16, 1, 17, 22], outputs: 8 },
];

describe("a convolution of 3 x 3 x 3", () => {
  it.each(cases)(
    "of $name equals its definition in float64, and so do its gradients",
    async ({ sizes, outputs }) => {
      const [samples, channels, ...edges] = sizes;
      const x = filled(sizes, 1);
      const weight = filled([outputs, channels, 27], 2);
      const gradient = filled([samples, outputs, ...edges], 3);
      const wanted = reference(x, sizes, weight, outputs, gradient);
      const got = await computed(x, sizes, weight, outputs, gradient);
      for (const [index, one] of wanted.entries()) {
        expect(relativeError(got[index] as Float32Array, one)).toBeLessThan(2e-6);
      }
    },
  );

  it("gives the same bits with one thread as with several", async () => {
    const sizes: Sizes = [1, 16, 16, 20, 22];
    const [x, weight, gradient] = [filled(sizes, 1), filled([16, 16, 27], 2), filled(sizes, 3)];
    const before = threads();
    try {
      setThreads(1);
      const one = await computed(x, sizes, weight, 16, gradient);
      setThreads(3);
      const several = await computed(x, sizes, weight, 16, gradient);
      expect(several).toEqual(one);
    } finally {
      setThreads(before);
    }
  });

  it("gives a sample the same bits alone as in a batch", async () => {
    const sizes: Sizes = [1, 16, 8, 9, 10];
    const [x, weight, gradient] = [filled(sizes, 1), filled([8, 16, 27], 2), filled([8, 720], 3)];
    const [alone, aloneBack] = await computed(x, sizes, weight, 8, gradient);
    const both = new Float32Array(2 * x.length);
    both.set(filled(sizes, 4));
    both.set(x, x.length);
    const backs = new Float32Array(2 * gradient.length);
    backs.set(gradient, gradient.length);
    const [batch, batchBack] = await computed(both, [2, 16, 8, 9, 10], weight, 8, backs);
    expect(batch?.slice(gradient.length)).toEqual(alone);
    expect(batchBack?.slice(x.length)).toEqual(aloneBack);
  });
});
