import { mmd2 } from "../../alignment/mmd.js";
import { productOf } from "../../common/numbers.js";
import { arrange, depthwiseConv3d, lossGradient, ssim3d } from "../../native/kernels.js";
import { Tensor } from "../../native/tensor.js";
import { alternate, type Work } from "../alternate.js";
import type { BenchCase } from "../case.js";
import { filled, hashFill } from "../hash-fill.js";
import { sample } from "../timing.js";

/** Two sets of rows: the second has its values shifted and widened, so that the distance isn't near 0. */
function mmdInputs(rows: number, features: number, device: string): [Tensor, Tensor] {
  const shape = [rows, features];
  const b = filled("bench.mmd.b", shape).map((value) => value * 1.25 + 0.125);
  return [Tensor.from(filled("bench.mmd.a", shape), shape, device), Tensor.from(b, shape, device)];
}

/** Rows of independent uniform numbers lie this far apart: exp(-1) for a typical pair. */
const mmdBandwidth = (features: number): number => Math.sqrt((2 / 3) * features);

/** With the rate of multiplication, in that of float32. KeOps takes half a minute a run, and need not do so twice. */
const mmdProducts = [
  { name: "mmd", products: "float32", title: "", rate: 1, keops: true },
  {
    name: "mmd-int16",
    products: "int16",
    title: ", products in int16",
    rate: 2,
    keops: false,
    cpuOnly: true,
  },
] as const;

export const mmd: BenchCase[] = mmdProducts.map(({ name, products, title, rate, keops, ...kind }) => ({
  name,
  ...kind,
  summary: `MMD² of 4,000 and 4,000 rows of 768 features${title}`,
  measure: (settings) => {
    const [rows, features] = settings.quick ? [200, 64] : [4000, 768];
    const sigma = mmdBandwidth(features);
    return alternate(
      {
        name,
        title: `MMD², N = M = ${rows.toLocaleString("en")}, d = ${features}${title}`,
        work: "mmd",
        options: { rows, features, sigma },
        ours: async () => {
          const [a, b] = mmdInputs(rows, features, settings.device);
          const { signal } = settings;
          let value = Number.NaN;
          return {
            run: async () => {
              value = (await mmd2(a, b, { sigma, products, ...(signal && { signal }) })).biased;
            },
            answer: async () => [value],
            [Symbol.dispose]: () => disposeAll([a, b]),
          };
        },
        peers: [
          { peer: "torch.cdist + exp", group: "torch.cdist + exp", atLeast: 3 },
          { peer: "torch.cdist + exp, torch.compile", group: "torch.cdist + exp", atLeast: 3 },
          { peer: "scikit-learn rbf_kernel", group: "scikit-learn", atLeast: 8 },
          ...(keops ? [{ peer: "KeOps", group: "KeOps" }] : []),
        ],
        // Pairs within each set once, and all between them, by products of their rows.
        floor: { operations: (4 * rows * rows * features) / rate, bytes: 2 * 4 * rows * features },
        tolerance: 1e-6,
      },
      settings,
    );
  },
}));

/** What is timed: each with what it computes, as a share of three passes that cost the same. */
const depthwiseParts = [
  { name: "depthwise", part: "all", title: "forward and both gradients", passes: 3 },
  { name: "depthwise-forward", part: "forward", title: "forward", passes: 1 },
  { name: "depthwise-gradients", part: "gradients", title: "both gradients", passes: 2 },
] as const;
type DepthwisePart = (typeof depthwiseParts)[number]["part"];

export const depthwise: BenchCase[] = depthwiseParts.map(({ name, part, title, passes }) => ({
  name,
  summary: `depthwise 7 x 7 x 7 convolution of 1x96x16x56x56, ${title}`,
  measure: (settings) => {
    const shape = settings.quick ? [1, 16, 6, 10, 9] : [1, 96, 16, 56, 56];
    const elements = productOf(shape);
    return alternate(
      {
        name,
        title: `depthwise 7³ at ${shape.join("x")}, ${title}`,
        work: "depthwise",
        options: { shape, part },
        ours: () => depthwiseWork(shape, part, settings.device),
        peers: ["channels-last", "contiguous"].map((layout) => ({
          peer: `LibTorch's own, ${layout}`,
          group: "LibTorch's own",
          ...(part === "all" && { atLeast: 5 }),
        })),
        // Each pass reads a volume and writes one, or reads two.
        floor: { operations: passes * 2 * 343 * elements, bytes: passes * 2 * 4 * elements },
        tolerance: 1e-5,
      },
      settings,
    );
  },
}));

async function depthwiseWork(shape: readonly number[], part: DepthwisePart, device: string): Promise<Work> {
  const arranged = async (name: string): Promise<Tensor> => {
    using contiguous = Tensor.from(filled(name, shape), shape, device);
    return arrange(contiguous, "channels-last");
  };
  const input = await arranged("bench.depthwise.input");
  const gradient = await arranged("bench.depthwise.gradient");
  const channels = shape[1] as number;
  const weightShape = [channels, 1, 7, 7, 7];
  const scale = Math.sqrt(3 / 343);
  const weight = Tensor.from(filled("bench.depthwise.weight", weightShape, scale), weightShape, device);
  const bias = Tensor.from(filled("bench.depthwise.bias", [channels], 0.02), [channels], device);
  let answers: Tensor[] = [];
  return {
    run: async () => {
      disposeAll(answers);
      answers = part === "gradients" ? [] : await depthwiseConv3d(input, weight, bias);
      if (part !== "forward") answers.push(...(await depthwiseConv3d(input, weight, bias, gradient)));
    },
    answer: async () => {
      const arrays = await Promise.all(answers.map((tensor) => tensor.toArray()));
      return arrays.flatMap((values) => sample(values, Math.floor(4096 / arrays.length)));
    },
    [Symbol.dispose]: () => disposeAll([input, gradient, weight, bias, ...answers]),
  };
}

const ssimParts = [
  { name: "ssim-value", gradient: false, title: "value" },
  { name: "ssim", gradient: true, title: "value and gradient" },
] as const;

export const ssim: BenchCase[] = ssimParts.map(({ name, gradient, title }) => ({
  name,
  summary: `3D SSIM of 96x200x200, ${title}`,
  measure: (settings) => {
    const shape = settings.quick ? [14, 20, 18] : [96, 200, 200];
    const voxels = productOf(shape);
    const convolution = ["eager", "torch.compile"].map((mode) => ({
      peer: `PyTorch convolutions, ${mode}`,
      group: "convolution-based PyTorch",
      ...(gradient && { atLeast: 4 }),
    }));
    return alternate(
      {
        name,
        title: `SSIM, ${shape.join("x")}, ${title}`,
        work: "ssim",
        options: { shape, gradient },
        ours: () => ssimWork(shape, gradient, settings.device),
        peers: gradient
          ? convolution
          : [...convolution, { peer: "scikit-image", group: "scikit-image", atLeast: 10 }],
        // Five filtered maps, and three on the way back, along three axes with 11 taps; the map's formula besides.
        floor: {
          operations: voxels * ((gradient ? 8 : 5) * 3 * 11 * 2 + 30),
          bytes: voxels * 4 * (gradient ? 3 : 2),
        },
        tolerance: 1e-5,
      },
      settings,
    );
  },
}));

async function ssimWork(shape: readonly number[], withGradient: boolean, device: string): Promise<Work> {
  const [first, second] = ssimInputs(shape);
  // The volumes as the metric takes them, and as the loss does.
  const full = withGradient ? [1, 1, ...shape] : [...shape];
  const a = Tensor.from(first, full, device);
  const b = Tensor.from(second, full, device);
  let value = Number.NaN;
  let gradient: Tensor | null = null;
  return {
    run: async () => {
      gradient?.dispose();
      gradient = null;
      if (!withGradient) {
        value = (await ssim3d(a, b, 1))[0] ?? Number.NaN;
        return;
      }
      const loss = await lossGradient({ kind: "ssim", dataRange: 1 }, a, b);
      gradient = loss.gradient;
      value = 1 - loss.value;
    },
    answer: async () => {
      if (gradient === null) return [value];
      // The loss is 1 - SSIM.
      return [value, ...sample(await gradient.toArray(), 4095).map((entry) => -entry)];
    },
    [Symbol.dispose]: () => disposeAll([a, b, ...(gradient ? [gradient] : [])]),
  };
}

/** A ramp with noise, and the same with more noise. */
function ssimInputs(shape: readonly number[]): [Float32Array, Float32Array] {
  const [depth = 1, height = 1, width = 1] = shape;
  const count = productOf(shape);
  const noise = [hashFill("bench.ssim.a", count), hashFill("bench.ssim.b", count)] as const;
  const [a, b] = [new Float32Array(count), new Float32Array(count)];
  for (let index = 0; index < count; index++) {
    const sum = Math.floor(index / (height * width)) + (Math.floor(index / width) % height) + (index % width);
    const value = 0.5 * (sum / (depth + height + width)) + 0.25 * (1 + (noise[0][index] as number));
    a[index] = value;
    b[index] = value + 0.125 * (noise[1][index] as number);
  }
  return [a, b];
}

export function disposeAll(tensors: readonly Tensor[]): void {
  for (const tensor of tensors) tensor.dispose();
}
