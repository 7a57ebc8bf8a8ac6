import { describe, expect, it } from "vitest";
import { relativeError } from "../dist/bench/timing.js";
import { productOf } from "../dist/common/numbers.js";
import { arrange, patchConv3d } from "../dist/native/kernels.js";
import { setThreads, threads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";

type Sizes = [number, number, number, number, number];
type Box = [number, number, number];

interface Case {
  name: string;
  /** [N, C, D, H, W] */
  sizes: Sizes;
  outputs: number;
  box: Box;
}

const filled = (sizes: readonly number[], seed: number) =>
  Float32Array.from(hashFill(`convolution without overlap ${seed}`, productOf(sizes)));

/** Calls `visit` for each product of the definition, with where its voxel, weight and value of the coarse side lie. */
function eachProduct(
  { sizes, outputs, box }: Case,
  transposed: boolean,
  visit: (fine: number, weight: number, coarse: number) => void,
) {
  const [samples, channels, ...edges] = sizes;
  const coarse = transposed ? edges : edges.map((edge, axis) => Math.floor(edge / (box[axis] as number)));
  const fine = transposed ? edges.map((edge, axis) => edge * (box[axis] as number)) : edges;
  const [ofCoarse, ofFine] = transposed ? [channels, outputs] : [outputs, channels];
  const [planes, rows, columns] = coarse as Box;
  const [, high, wide] = fine as Box;
  for (let n = 0; n < samples; ++n)
    for (let a = 0; a < ofCoarse; ++a)
      for (let b = 0; b < ofFine; ++b)
        for (let z = 0; z < planes; ++z)
          for (let y = 0; y < rows; ++y)
            for (let x = 0; x < columns; ++x)
              for (let tap = 0; tap < productOf(box); ++tap) {
                const [dz, dy, dx] = [
                  Math.floor(tap / (box[1] * box[2])),
                  Math.floor(tap / box[2]) % box[1],
                  tap % box[2],
                ];
                const row = (z * box[0] + dz) * high + y * box[1] + dy;
                visit(
                  (n * ofFine + b) * productOf(fine) + row * wide + x * box[2] + dx,
                  (a * ofFine + b) * productOf(box) + tap,
                  (n * ofCoarse + a) * productOf(coarse) + (z * rows + y) * columns + x,
                );
              }
}

/** The definition in float64: [output, gradient of the input, gradient of the weight]. */
function reference(
  one: Case,
  transposed: boolean,
  x: Float32Array,
  weight: Float32Array,
  gradient: Float32Array,
) {
  const output = new Float64Array(gradient.length);
  const toInput = new Float64Array(x.length);
  const toWeight = new Float64Array(weight.length);
  const at = (array: ArrayLike<number>, index: number) => array[index] as number;
  eachProduct(one, transposed, (fine, own, coarse) => {
    const [from, to] = transposed ? [coarse, fine] : [fine, coarse];
    output[to] = at(output, to) + at(x, from) * at(weight, own);
    toInput[from] = at(toInput, from) + at(gradient, to) * at(weight, own);
    toWeight[own] = at(toWeight, own) + at(gradient, to) * at(x, from);
  });
  return [output, toInput, toWeight] as const;
}

function inputsOf({ sizes, outputs, box }: Case, transposed: boolean) {
  const [samples, channels, ...edges] = sizes;
  const grid = edges.map((edge, axis) =>
    transposed ? edge * (box[axis] as number) : Math.floor(edge / (box[axis] as number)),
  );
  const kernel = transposed ? [channels, outputs, ...box] : [outputs, channels, ...box];
  const answer = [samples, outputs, ...grid];
  return { kernel, answer, x: filled(sizes, 1), weight: filled(kernel, 2), gradient: filled(answer, 3) };
}

async function computed(one: Case, transposed: boolean, layout: "contiguous" | "channels-last") {
  const { kernel, answer, x, weight, gradient } = inputsOf(one, transposed);
  const input = await arrange(Tensor.from(x, one.sizes), layout);
  const kernels = Tensor.from(weight, kernel);
  const gradOutput = await arrange(Tensor.from(gradient, answer), layout);
  const answers = [
    ...(await patchConv3d(input, kernels, { transposed })),
    ...(await patchConv3d(input, kernels, { transposed, gradOutput })),
  ];
  return Promise.all(answers.map(async (tensor) => (await tensor.toArray()) as Float32Array));
}

const cases: Case[] = [
  { name: "single voxels of one channel", sizes: [1, 1, 2, 2, 2], outputs: 1, box: [1, 1, 1] },
  { name: "single voxels of two samples", sizes: [2, 16, 3, 5, 7], outputs: 3, box: [1, 1, 1] },
  { name: "enough voxels for oneDNN's product", sizes: [1, 48, 6, 12, 12], outputs: 48, box: [1, 1, 1] },
  {
    name: "a stem's patches, which do not divide the volume",
    sizes: [1, 3, 9, 10, 11],
    outputs: 8,
    box: [4, 4, 4],
  },
  { name: "cubes of two samples", sizes: [2, 8, 6, 7, 8], outputs: 16, box: [2, 2, 2] },
  { name: "flat boxes of odd lines", sizes: [1, 5, 3, 8, 9], outputs: 7, box: [1, 2, 3] },
  { name: "lines of voxels longer than vectors", sizes: [3, 40, 2, 6, 8], outputs: 24, box: [2, 3, 4] },
];

describe.each([
  { name: "a convolution without overlap", transposed: false },
  { name: "a transposed convolution without overlap", transposed: true },
])("$name", ({ transposed }) => {
  it.each(cases)("of $name equals its definition in float64, and so do its gradients", async (one) => {
    const { x, weight, gradient } = inputsOf(one, transposed);
    const wanted = reference(one, transposed, x, weight, gradient);
    for (const layout of ["contiguous", "channels-last"] as const) {
      const got = await computed(one, transposed, layout);
      for (const [index, own] of wanted.entries())
        expect(relativeError(got[index] as Float32Array, own)).toBeLessThan(2e-6);
    }
  });

  it("refuses a weight of other channels", async () => {
    const [input, weight] = [Tensor.from(new Float32Array(64), [1, 1, 4, 4, 4]), filled([2, 3, 2, 2, 2], 2)];
    await expect(
      patchConv3d(input, Tensor.from(weight, [2, 3, 2, 2, 2]), { transposed }),
    ).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});

it("moves voxels alike with one thread and with several", async () => {
  const one: Case = { name: "", sizes: [2, 12, 8, 20, 22], outputs: 12, box: [2, 2, 2] };
  const before = threads();
  try {
    setThreads(1);
    const alone = await computed(one, true, "channels-last");
    setThreads(3);
    const several = await computed(one, true, "channels-last");
    for (const [index, own] of alone.entries())
      expect(relativeError(several[index] as Float32Array, own)).toBeLessThan(1e-6);
  } finally {
    setThreads(before);
  }
});
