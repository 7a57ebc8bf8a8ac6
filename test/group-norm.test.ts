import { describe, expect, it } from "vitest";
import { groupNorm } from "../dist/native/kernels.js";
import { setThreads, threads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";

type Shape = [number, number, number, number, number];
type Activation = "none" | "leaky-relu" | "silu";
interface Setting {
  shape: Shape; // [N, C, D, H, W]
  groups: number;
  affine: boolean;
  residual: boolean;
  activation: Activation;
}

const count = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);
const at = (array: ArrayLike<number>, index: number) => array[index] as number;

const activate: Record<Activation, (z: number) => number> = {
  none: (z) => z,
  "leaky-relu": (z) => (z > 0 ? z : 0.01 * z),
  silu: (z) => z / (1 + Math.exp(-z)),
};
const slopeAt: Record<Activation, (z: number) => number> = {
  none: () => 1,
  "leaky-relu": (z) => (z > 0 ? 1 : 0.01),
  silu: (z) => {
    const share = 1 / (1 + Math.exp(-z));
    return share * (1 + z * (1 - share));
  },
};

/** The definition in float64 (Wu and He 2018, eq. 1, 2 and 6), and its gradients by the chain rule, written out. */
function reference(
  { shape, groups, activation }: Setting,
  given: ArrayLike<number>[],
  gradient: ArrayLike<number>,
) {
  const [x, weight, bias, residual] = given as [ArrayLike<number>, ...(ArrayLike<number> | undefined)[]];
  const [samples, channels] = shape;
  const voxels = count(shape) / (samples * channels);
  const ofGroup = channels / groups;
  const output = new Float64Array(x.length);
  const to = [x.length, channels, channels, x.length].map((size) => new Float64Array(size)) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  for (let first = 0; first < samples * channels; first += ofGroup) {
    const values = Array.from({ length: ofGroup * voxels }, (_, index) => first * voxels + index);
    const channelOf = (index: number) => Math.floor(index / voxels) % channels;
    const scaleOf = (index: number) => (weight ? at(weight, channelOf(index)) : 1);
    const mean = values.reduce((sum, index) => sum + at(x, index), 0) / values.length;
    const variance = values.reduce((sum, index) => sum + (at(x, index) - mean) ** 2, 0) / values.length;
    const inverse = 1 / Math.sqrt(variance + 1e-5);
    let [sum, product] = [0, 0];
    const before = values.map((index) => {
      const hat = (at(x, index) - mean) * inverse;
      const z =
        hat * scaleOf(index) + (bias ? at(bias, channelOf(index)) : 0) + (residual ? at(residual, index) : 0);
      output[index] = activate[activation](z);
      const own = at(gradient, index) * slopeAt[activation](z);
      to[1][channelOf(index)] = at(to[1], channelOf(index)) + own * hat;
      to[2][channelOf(index)] = at(to[2], channelOf(index)) + own;
      to[3][index] = own;
      sum += own * scaleOf(index);
      product += own * scaleOf(index) * hat;
      return [own * scaleOf(index), hat] as const;
    });
    for (const [place, index] of values.entries()) {
      const [own, hat] = before[place] as (typeof before)[number];
      to[0][index] = inverse * (own - sum / values.length - (hat * product) / values.length);
    }
  }
  return [output, ...to.filter((_, index) => index === 0 || given[index] !== undefined)];
}

const filled = (shape: readonly number[], seed: number, scale = 1, offset = 0) =>
  hashFill(`group norm ${seed}`, count(shape)).map((value) => scale * value + offset);

const tensorsOf = (setting: Setting, offset: number) => {
  const { shape, affine, residual } = setting;
  const channels = [shape[1]];
  const values = [
    filled(shape, 1, 2, offset),
    affine ? filled(channels, 2, 1, 1) : undefined,
    affine ? filled(channels, 3) : undefined,
    residual ? filled(shape, 4) : undefined,
  ];
  const shapes = [shape, channels, channels, shape];
  const tensors = values.map(
    (own, index) => own && Tensor.from(Float32Array.from(own), shapes[index] as number[]),
  );
  return { values, tensors, gradient: filled(shape, 5) };
};

async function computed(setting: Setting, offset = 0) {
  const { groups, activation, shape } = setting;
  const { values, tensors, gradient } = tensorsOf(setting, offset);
  const [x, weight, bias, residual] = tensors as [Tensor, ...(Tensor | undefined)[]];
  const options = {
    groups,
    activation,
    weight: weight ?? null,
    bias: bias ?? null,
    residual: residual ?? null,
  };
  const gradOutput = Tensor.from(Float32Array.from(gradient), [...shape]);
  const answers = [...(await groupNorm(x, options)), ...(await groupNorm(x, { ...options, gradOutput }))];
  const arrays = await Promise.all(answers.map((tensor) => tensor.toArray()));
  for (const tensor of [...answers, gradOutput, ...tensors]) tensor?.dispose();
  const float32 = values.map((own) => own && Float32Array.from(own));
  return {
    arrays,
    expected: reference(setting, float32 as ArrayLike<number>[], Float32Array.from(gradient)),
  };
}

const settings: Setting[] = [
  { shape: [2, 1, 3, 5, 7], groups: 1, affine: true, residual: false, activation: "silu" },
  { shape: [2, 8, 9, 11, 13], groups: 8, affine: false, residual: true, activation: "leaky-relu" },
  { shape: [1, 24, 7, 9, 10], groups: 24, affine: true, residual: true, activation: "leaky-relu" },
  { shape: [3, 30, 5, 7, 3], groups: 10, affine: true, residual: false, activation: "silu" },
  { shape: [1, 320, 3, 4, 5], groups: 32, affine: true, residual: false, activation: "none" },
  { shape: [2, 300, 1, 3, 2], groups: 300, affine: false, residual: true, activation: "none" },
];

describe("group norm with what follows it", () => {
  it.each(settings)(
    "agrees with its definition in float64, forward and back: $shape in $groups groups, $activation, residual $residual",
    async (setting) => {
      const { arrays, expected } = await computed(setting);
      expect(arrays).toHaveLength(expected.length);
      for (const [index, array] of arrays.entries()) {
        const right = expected[index] as Float64Array;
        const largest = Math.max(...right.map(Math.abs), 1e-3);
        const off = Math.max(
          ...right.map((value, place) => Math.abs(value - at(array as Float32Array, place))),
        );
        expect(off / largest).toBeLessThan(5e-6);
      }
    },
  );

  it("keeps its digits where a volume is far from 0", async () => {
    const { arrays, expected } = await computed(settings[1] as Setting, 1000);
    const right = expected[0] as Float64Array;
    const off = Math.max(
      ...right.map((value, place) => Math.abs(value - at(arrays[0] as Float32Array, place))),
    );
    // Of 1000, float32 holds 6e-5; a sum of squares in float32 would be off by whole standard deviations.
    expect(off).toBeLessThan(5e-4);
  });

  it("gives the same bits whatever the number of threads", async () => {
    const setting: Setting = { ...(settings[1] as Setting), shape: [1, 8, 16, 24, 24] };
    const before = threads();
    const found = [];
    for (const number of [1, 2, 3]) {
      setThreads(number);
      found.push(
        (await computed({ ...setting })).arrays.map((array) =>
          Buffer.from(Float32Array.from(array as Float32Array).buffer),
        ),
      );
    }
    setThreads(before);
    expect(found[1]).toEqual(found[0]);
    expect(found[2]).toEqual(found[0]);
  });
});
