import { afterEach, describe, expect, it } from "vitest";
import { arrange, grnPerceptron, type Layout } from "../dist/native/kernels.js";
import { setThreads, threads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";

const at = (array: ArrayLike<number>, index: number) => array[index] as number;
const count = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** erf to 1e-15: its Taylor series, and beyond 3 the continued fraction of erfc. */
function erf(x: number): number {
  if (x < 0) return -erf(-x);
  if (x > 3) {
    let fraction = 0;
    for (let k = 60; k >= 1; k--) fraction = k / 2 / (x + fraction);
    return 1 - Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
  }
  let [term, sum] = [x, x];
  for (let k = 1; k < 80; k++) {
    term *= (-x * x) / k;
    sum += term / (2 * k + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}
const gelu = (x: number) => (x * (1 + erf(x / Math.SQRT2))) / 2;

interface Setting {
  shape: [number, number, number, number, number]; // [N, D, H, W, C]
  features: number;
  masked: boolean;
}
const names = ["input", "expand", "expand bias", "gamma", "beta", "project", "project bias"];
const sizes = ({ shape, features: f }: Setting) => {
  const c = shape[4];
  return [shape, [f, c], [f], [f], [f], [c, f], [c]];
};

/** The definition, in float64: Woo 2023, ConvNeXt V2, section 3.3. */
function reference({ shape, features }: Setting, values: Float64Array[], keep: Float64Array | null) {
  const [x, w1, b1, gamma, beta, w2, b2] = values as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const [samples, channels, voxels] = [shape[0], shape[4], shape[1] * shape[2] * shape[3]];
  const output = new Float64Array(x.length);
  for (let n = 0; n < samples; n++) {
    const activated = Array.from({ length: voxels }, (_, v) =>
      Array.from({ length: features }, (_, f) => {
        let sum = at(b1, f);
        for (let c = 0; c < channels; c++) {
          sum += at(x, (n * voxels + v) * channels + c) * at(w1, f * channels + c);
        }
        return gelu(sum) * (keep ? at(keep, n * voxels + v) : 1);
      }),
    );
    const norms = Array.from({ length: features }, (_, f) =>
      Math.hypot(...activated.map((row) => at(row, f))),
    );
    const mean = norms.reduce((sum, norm) => sum + norm, 0) / features + 1e-6;
    activated.forEach((row, v) => {
      for (let c = 0; c < channels; c++) {
        let sum = at(b2, c);
        row.forEach((a, f) => {
          sum += ((at(gamma, f) * a * at(norms, f)) / mean + at(beta, f) + a) * at(w2, c * features + f);
        });
        output[(n * voxels + v) * channels + c] = sum;
      }
    });
  }
  return output;
}

function inputs(setting: Setting) {
  const scales = [1.5, 1, 0.5, 1, 0.5, 1, 1];
  const values = sizes(setting).map((shape, i) =>
    Float64Array.from(
      new Float32Array(hashFill(names[i] as string, count(shape)).map((value) => value * at(scales, i))),
    ),
  );
  const voxels = count(setting.shape) / setting.shape[4];
  const keep = setting.masked ? hashFill("keep", voxels).map((value) => (value > -0.2 ? 1 : 0)) : null;
  const weights = Float64Array.from(Float32Array.from(hashFill("output", count(setting.shape))));
  return { values, keep, weights };
}

/** Output and gradients by the kernel. */
async function run(setting: Setting, layout: Layout = "contiguous") {
  const { values, keep, weights } = inputs(setting);
  const shapes = sizes(setting);
  const given = values.map((data, i) => Tensor.from(Float32Array.from(data), shapes[i] as number[]));
  const [plain, expandWeight, expandBias, gamma, beta, projectWeight, projectBias] = given as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  const parameters = { expandWeight, expandBias, gamma, beta, projectWeight, projectBias };
  using input = await arrange(plain, layout);
  using mask = keep && Tensor.from(Float32Array.from(keep), [...setting.shape.slice(0, 4), 1]);
  using gradient = Tensor.from(Float32Array.from(weights), setting.shape);
  using towards = await arrange(gradient, layout);
  const answers = [
    ...(await grnPerceptron(input, parameters, mask)),
    ...(await grnPerceptron(input, parameters, mask, towards)),
  ];
  expect(answers.map((answer) => answer.shape)).toEqual([setting.shape, ...shapes]);
  const arrays = await Promise.all(answers.map((answer) => answer.toArray() as Promise<Float32Array>));
  for (const tensor of [...given, ...answers]) tensor.dispose();
  return arrays;
}

/** The largest difference, relative to the largest value. */
function distance(values: ArrayLike<number>, wanted: ArrayLike<number>): number {
  const list = Array.from(wanted);
  const scale = list.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return list.reduce((most, value, i) => Math.max(most, Math.abs(at(values, i) - value)), 0) / scale;
}

describe("the pointwise part of a ConvNeXt V2 block", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  // More voxels than channels and fewer: the normalisation goes to the weight or to the activations.
  const settings: Setting[] = [
    { shape: [1, 3, 2, 3, 3], features: 7, masked: false },
    { shape: [2, 1, 2, 2, 5], features: 20, masked: false },
    { shape: [2, 2, 3, 2, 3], features: 17, masked: true },
    { shape: [1, 1, 1, 1, 2], features: 8, masked: false },
  ];
  it.each(settings)(
    "$shape with $features features agrees with its definition and central differences",
    async (setting) => {
      const { values, keep, weights } = inputs(setting);
      const objective = (changed: Float64Array[]) =>
        reference(setting, changed, keep).reduce((sum, value, i) => sum + value * at(weights, i), 0);
      const wanted = values.map((value, which) =>
        value.map((_, i) => {
          const at = (step: number) =>
            objective(values.map((v, k) => (k === which ? v.with(i, (v[i] as number) + step) : v)));
          return (at(1e-5) - at(-1e-5)) / 2e-5;
        }),
      );
      for (const layout of ["contiguous", "strided"] as const) {
        const [output, ...gradients] = await run(setting, layout);
        expect(distance(output as Float32Array, reference(setting, values, keep))).toBeLessThan(1e-6);
        gradients.forEach((gradient, i) => {
          expect(distance(gradient, wanted[i] as Float64Array)).toBeLessThan(5e-6);
        });
      }
    },
  );

  it("of activations that are all 0 has no slope towards their norms", async () => {
    const shape = [1, 1, 2, 2, 2];
    const zeros = (...size: number[]) => Tensor.from(new Float32Array(count(size)), size);
    using input = zeros(...shape);
    using gradient = Tensor.from(new Float32Array(8).fill(1), shape);
    const parameters = {
      expandWeight: zeros(8, 2),
      expandBias: zeros(8),
      gamma: zeros(8),
      beta: zeros(8),
      projectWeight: Tensor.from(new Float32Array(16).fill(1), [2, 8]),
      projectBias: zeros(2),
    };
    const answers = await grnPerceptron(input, parameters, null, gradient);
    for (const answer of answers) {
      expect([...((await answer.toArray()) as Float32Array)].every(Number.isFinite)).toBe(true);
    }
    for (const tensor of [...Object.values(parameters), ...answers]) tensor.dispose();
  });

  it("gives the same bits whatever the number of threads", async () => {
    const setting: Setting = { shape: [2, 4, 9, 7, 12], features: 48, masked: true };
    const before = threads();
    try {
      setThreads(1);
      const alone = await run(setting);
      setThreads(2);
      expect(await run(setting)).toEqual(alone);
    } finally {
      setThreads(before);
    }
  });
});
