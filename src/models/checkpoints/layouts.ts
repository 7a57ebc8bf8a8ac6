import {
  elementsOf,
  loadStored,
  readStored,
  rowMajor,
  type StoredTensor,
} from "../../native/stored-tensor.js";
import { Tensor } from "../../native/tensor.js";
import { type Grids, gridsOf, resizedPositions } from "./position-grid.js";

/** How a source's tensor lies where it does not lie as ours. */
export interface Layout {
  /**
   * The kernel of a sparse convolution over that many axes: (positions, in, out), or (positions, channels) for a
   * depthwise one; the positions run in the reversed order of our axes, so that the first of them is the fastest. A
   * convolution of one position may be (in, out).
   */
  readonly sparse?: 2 | 3;
  /** Kernels of images become those of volumes: in the middle slice, or shared out among all slices. */
  readonly inflate?: "centre" | "mean";
  /** A kernel over one channel becomes one over ours, of equal shares: the same image in each is answered as before. */
  readonly channels?: "spread";
  /** A position embedding for another grid of patches is resized to ours. */
  readonly positions?: "resize";
}

/** How a stored tensor becomes a parameter of ours. */
export interface Reading {
  stored: StoredTensor;
  shape: readonly number[];
  /** What values are made of the stored ones; null: those. */
  inflate: "centre" | "mean" | "channels" | "positions" | null;
  /** What happens on the way, in words; null where the tensor is taken as it is. */
  change: string | null;
}

/** How a stored tensor becomes one of `shape`; null where it cannot. */
export function readingOf(
  stored: StoredTensor,
  shape: readonly number[],
  layout: Layout = {},
): Reading | null {
  const dense = layout.sparse === undefined ? stored : denseKernel(stored, shape, layout.sparse);
  if (dense === null) return readingOf(stored, shape);
  const words = dense === stored ? null : "the kernel of a sparse convolution";
  if (layout.inflate !== undefined && dense.shape.length === 4 && shape.length === 5) {
    if (!inflates(dense.shape, shape)) return null;
    return { stored: dense, shape, inflate: layout.inflate, change: `inflated (${layout.inflate})` };
  }
  if (layout.channels !== undefined && spreads(dense.shape, shape)) {
    const change = `one channel shared out among ${shape[1]}`;
    return { stored: dense, shape, inflate: "channels", change };
  }
  const grids = layout.positions === undefined ? null : gridsOf(dense.shape, shape);
  if (grids !== null && grids.from !== grids.to) {
    const change = `position embedding resized from ${gridWords(grids.from)} to ${gridWords(grids.to)} patches`;
    return { stored: dense, shape, inflate: "positions", change };
  }
  if (sameShape(dense.shape, shape)) return { stored: dense, shape, inflate: null, change: words };
  const [given, wanted] = [dense.shape, shape].map((extents) => extents.filter((extent) => extent !== 1));
  if (!sameShape(given as number[], wanted as number[])) return null;
  return { stored: dense, shape, inflate: null, change: words ?? "axes of length 1" };
}

const gridWords = (edge: number): string => `${edge} x ${edge}`;

export const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((extent, axis) => extent === b[axis]);

/** A sparse kernel seen as a dense one; null where its shape is not that of the parameter's sparse form. */
function denseKernel(stored: StoredTensor, shape: readonly number[], axes: 2 | 3): StoredTensor | null {
  const [out, inner, ...ours] = shape;
  if (out === undefined || inner === undefined || ours.length !== 3) return null;
  const positions = axes === 3 ? elementsOf(ours) : (stored.shape[0] as number);
  const edge = Math.round(Math.sqrt(positions));
  const kernel = axes === 3 ? ours : [edge, edge];
  const full = { positions, in: inner, out };
  const steps = stepsOf(stored, full);
  if (steps === null || elementsOf(kernel) !== steps.positions) return null;
  // The first of our axes is the fastest of the positions.
  let step = steps.positionStep;
  const kernelSteps = kernel.map((extent) => {
    const own = step;
    step *= extent;
    return own;
  });
  return {
    ...stored,
    shape: [out, inner, ...kernel],
    strides: [steps.outStep, steps.inStep, ...kernelSteps],
  };
}

/** Elements from one position, input and output channel to the next, by the number of axes that the kernel has. */
function stepsOf(
  { shape, strides }: StoredTensor,
  wanted: { positions: number; in: number; out: number },
): { positions: number; positionStep: number; inStep: number; outStep: number } | null {
  const [first, second, third] = strides as [number, number, number];
  if (sameShape(shape, [wanted.positions, wanted.in, wanted.out]))
    return { positions: wanted.positions, positionStep: first, inStep: second, outStep: third };
  if (wanted.in === 1 && sameShape(shape, [wanted.positions, wanted.out]))
    return { positions: wanted.positions, positionStep: first, inStep: 0, outStep: second };
  if (sameShape(shape, [wanted.in, wanted.out]))
    return { positions: 1, positionStep: 0, inStep: first, outStep: second };
  return null;
}

/** Whether the kernel of an image becomes that of a volume: axes are as long as ours, or ours has one element. */
function inflates(image: readonly number[], volume: readonly number[]): boolean {
  const [out, inner, height, width] = image;
  const [ourOut, ourInner, , ourHeight, ourWidth] = volume;
  return (
    out === ourOut &&
    inner === ourInner &&
    (ourHeight === height || ourHeight === 1) &&
    (ourWidth === width || ourWidth === 1)
  );
}

/** Whether a kernel [out, 1, ...] becomes one over several channels. */
const spreads = ([out, inner, ...edges]: readonly number[], shape: readonly number[]): boolean =>
  inner === 1 && (shape[1] ?? 0) > 1 && sameShape([out as number, shape[1] as number, ...edges], shape);

/** Brings what a reading describes into memory. The caller disposes it. */
export async function load({ stored, shape, inflate }: Reading, device = "cpu"): Promise<Tensor> {
  if (inflate === null) return loadStored(stored, { device, shape });
  const image = Float32Array.from((await readStored(stored)) as Float32Array);
  return Tensor.from(valuesOf(image, stored.shape, shape, inflate), shape, device);
}

function valuesOf(
  values: Float32Array,
  stored: readonly number[],
  shape: readonly number[],
  inflate: NonNullable<Reading["inflate"]>,
): Float32Array {
  if (inflate === "channels") return spread(values, shape);
  if (inflate !== "positions") return inflated(values, stored, shape, inflate);
  return resizedPositions(values, gridsOf(stored, shape) as Grids, shape[2] as number);
}

/** A kernel [out, 1, ...] over as many channels as `shape` has, an equal share in each. */
function spread(kernel: Float32Array, [out, inner, ...edges]: readonly number[]): Float32Array {
  const positions = elementsOf(edges);
  const channels = inner as number;
  return Float32Array.from({ length: (out as number) * channels * positions }, (_, at) => {
    const row = Math.floor(at / (channels * positions));
    return (kernel[row * positions + (at % positions)] as number) / channels;
  });
}

/**
 * The kernel of a volume from that of an image, [out, in, height, width] -> [out, in, depth, height, width]. An axis
 * of which ours has one element is summed, so that an even image is answered as before.
 */
export function inflated(
  image: Float32Array,
  [out, inner, height, width]: readonly number[],
  shape: readonly number[],
  method: "centre" | "mean",
): Float32Array {
  const [, , depth, ourHeight, ourWidth] = shape as [number, number, number, number, number];
  const [channels, rows, columns] = [(out as number) * (inner as number), height as number, width as number];
  const strides = rowMajor([channels, depth, ourHeight, ourWidth]) as [number, number, number, number];
  const values = new Float32Array(channels * strides[0]);
  const middle = Math.floor(depth / 2);
  const slices = method === "centre" ? [middle] : Array.from({ length: depth }, (_, slice) => slice);
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const value = (image[(channel * rows + row) * columns + column] as number) / slices.length;
        for (const slice of slices) {
          const [ourRow, ourColumn] = [ourHeight === 1 ? 0 : row, ourWidth === 1 ? 0 : column];
          const at = channel * strides[0] + slice * strides[1] + ourRow * strides[2] + ourColumn;
          values[at] = (values[at] as number) + value;
        }
      }
    }
  }
  return values;
}
