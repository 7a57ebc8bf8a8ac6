import { describe, expect, it } from "vitest";
import { arrange, linearLayer } from "../dist/native/kernels.js";
import { setThreads, threads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";

const at = (array: ArrayLike<number>, index: number) => array[index] as number;

const floats = async (tensor: Tensor) => (await tensor.toArray()) as Float32Array;

interface Layer {
  rows: number;
  inputs: number;
  outputs: number;
}

/** The definition in float64: output, and the gradients of the sum of output times `gradient`. */
function reference({ rows, inputs, outputs }: Layer, values: Float32Array[], gradient: Float32Array) {
  const [x, weight, bias] = values as [Float32Array, Float32Array, Float32Array];
  const output = new Float64Array(rows * outputs);
  const gradients = [x, weight, bias].map(({ length }) => new Float64Array(length)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  for (let row = 0; row < rows; row++) {
    for (let out = 0; out < outputs; out++) {
      const wanted = at(gradient, row * outputs + out);
      let sum = at(bias, out);
      gradients[2][out] = at(gradients[2], out) + wanted;
      for (let k = 0; k < inputs; k++) {
        const [own, other] = [row * inputs + k, out * inputs + k];
        sum += at(x, own) * at(weight, other);
        gradients[0][own] = at(gradients[0], own) + wanted * at(weight, other);
        gradients[1][other] = at(gradients[1], other) + wanted * at(x, own);
      }
      output[row * outputs + out] = sum;
    }
  }
  return { output, gradients };
}

/** erf by its Taylor series, exact to 1e-14 where it is used here. */
function erf(x: number): number {
  let [term, sum] = [x, x];
  for (let k = 1; k < 100; k++) {
    term *= (-x * x) / k;
    sum += term / (2 * k + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}
const gelu = (x: number) => (x * (1 + erf(x / Math.SQRT2))) / 2;

/** The L2 norm of the difference, relative to that of `wanted`. */
function difference(values: ArrayLike<number>, wanted: Float64Array): number {
  let [apart, size] = [0, 0];
  for (const [index, value] of wanted.entries()) {
    apart += (at(values, index) - value) ** 2;
    size += value ** 2;
  }
  return Math.sqrt(apart / size);
}

// Few and many multiplications, odd sizes: both ways to the product.
const layers: Layer[] = [
  { rows: 3, inputs: 5, outputs: 7 },
  { rows: 1, inputs: 1, outputs: 1 },
  { rows: 203, inputs: 131, outputs: 97 },
  { rows: 1029, inputs: 96, outputs: 33 },
];

describe.each(layers)("a linear layer from $inputs to $outputs features on $rows rows", (layer) => {
  const { rows, inputs, outputs } = layer;
  const shapes = [[rows, inputs], [outputs, inputs], [outputs]];
  const values = shapes.map((shape, index) =>
    Float32Array.from(
      hashFill(
        `linear.${index}`,
        shape.reduce((product, size) => product * size, 1),
      ),
    ),
  );
  const gradient = Float32Array.from(hashFill("linear.gradient", rows * outputs));
  const { output, gradients } = reference(layer, values, gradient);
  const tensors = () =>
    values.map((data, index) => Tensor.from(data, shapes[index] as number[])) as [Tensor, Tensor, Tensor];

  it("computes its definition, from any layout", async () => {
    const [x, weight, bias] = tensors();
    for (const layout of ["contiguous", "strided"] as const) {
      using own = await arrange(x, layout);
      using ownWeight = await arrange(weight, layout);
      const [answer] = await linearLayer(own, ownWeight, bias);
      expect(answer?.shape).toEqual([rows, outputs]);
      expect(difference(await floats(answer as Tensor), output)).toBeLessThan(1e-6);
    }
  });

  it("has the gradients of its definition", async () => {
    const [x, weight, bias] = tensors();
    using wanted = Tensor.from(gradient, [rows, outputs]);
    const answers = await linearLayer(x, weight, bias, { gradOutput: wanted });
    for (const [index, answer] of answers.entries()) {
      expect(answer.shape).toEqual(shapes[index]);
      expect(difference(await floats(answer), gradients[index] as Float64Array)).toBeLessThan(1e-6);
    }
  });

  it("passes through GELU where that stands behind it, learning or not", async () => {
    const scaled = values.map((data) => data.map((value) => value / 4));
    const [x, weight, bias] = scaled.map((data, index) => Tensor.from(data, shapes[index] as number[])) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const plain = reference(layer, scaled, gradient).output;
    const [answer] = await linearLayer(x, weight, bias, { gelu: true });
    expect(difference(await floats(answer as Tensor), plain.map(gelu))).toBeLessThan(1e-6);

    // Learning takes another way: its gradient with respect to the bias by central differences of the definition.
    using wanted = Tensor.from(gradient, [rows, outputs]);
    const [, , toBias] = await linearLayer(x, weight, bias, { gradOutput: wanted, gelu: true });
    const step = 1e-4;
    const slope = plain.map((z) => (gelu(z + step) - gelu(z - step)) / (2 * step));
    const expected = new Float64Array(outputs);
    for (const [index, value] of slope.entries()) {
      expected[index % outputs] = at(expected, index % outputs) + value * at(gradient, index);
    }
    expect(difference(await floats(toBias as Tensor), expected)).toBeLessThan(1e-5);
  });
});

it("takes rows under any number of leading axes", async () => {
  const data = Float32Array.from(hashFill("linear.axes", 2 * 3 * 4));
  using x = Tensor.from(data, [2, 3, 4]);
  using flat = Tensor.from(data, [6, 4]);
  using weight = Tensor.from(Float32Array.from(hashFill("linear.axes.weight", 5 * 4)), [5, 4]);
  using bias = Tensor.from(new Float32Array(5), [5]);
  const [whole] = await linearLayer(x, weight, bias);
  const [rows] = await linearLayer(flat, weight, bias);
  expect(whole?.shape).toEqual([2, 3, 5]);
  expect(await whole?.toArray()).toEqual(await rows?.toArray());
});

it("refuses a weight of other features, naming the shapes", async () => {
  using x = Tensor.from(new Float32Array(8), [2, 4]);
  using weight = Tensor.from(new Float32Array(15), [5, 3]);
  using bias = Tensor.from(new Float32Array(5), [5]);
  await expect(linearLayer(x, weight, bias)).rejects.toThrow(
    "Expected an input [..., K], a weight [M, K] and a bias [M] but received [2, 4], [5, 3] and [5]",
  );
});

it("gives the same numbers whatever the number of threads", async () => {
  const before = threads();
  using x = Tensor.from(Float32Array.from(hashFill("linear.threads", 500 * 64)), [500, 64]);
  using weight = Tensor.from(Float32Array.from(hashFill("linear.threads.weight", 96 * 64)), [96, 64]);
  using bias = Tensor.from(new Float32Array(96), [96]);
  const answers: ArrayLike<number>[] = [];
  for (const count of [1, 2]) {
    setThreads(count);
    const [answer] = await linearLayer(x, weight, bias);
    answers.push(await floats(answer as Tensor));
  }
  setThreads(before);
  expect(answers[1]).toEqual(answers[0]);
});
