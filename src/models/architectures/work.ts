/**
 * What an operation is limited by decides how fast it is: dense convolutions and matrix products by arithmetic, a depthwise
 * convolution by its few products a value, and a `pass` (norms, activations, sums, copies) by the memory that it goes through.
 */
export type OperationKind = "convolution" | "product" | "depthwise" | "pass";

/** Operations of one kind and width, as they answer one case. */
export interface Operation {
  kind: OperationKind;
  multiplyAdds: number;
  /** Values that are read and written, of a case. */
  values: number;
  /** Weights that are read, however many cases there are. */
  weights: number;
  /** Of the features in and out, the fewer: they fill the units that compute many at once. */
  width: number;
  /** How often one is called: each has a fixed cost. */
  calls: number;
}

/** What a network computes going forward. */
export type Work = readonly Operation[];

/** Voxels along height, width and depth. */
export type Extents = readonly [height: number, width: number, depth: number];

export const volumeOf = ([height, width, depth]: Extents): number => height * width * depth;

/** A grid that is `stride` times as coarse along each axis; what remains at an end has a position too. */
export const coarser = ([height, width, depth]: Extents, stride: number | Extents): Extents => {
  const [h, w, d] = typeof stride === "number" ? [stride, stride, stride] : stride;
  return [Math.ceil(height / h), Math.ceil(width / w), Math.ceil(depth / d)];
};

/** The same where what remains at an end is left out: a convolution of as large a stride as kernel. */
export const wholeSteps = (extents: Extents, stride: number): Extents =>
  extents.map((extent) => Math.max(1, Math.floor(extent / stride))) as unknown as Extents;

/** The extents, padded so that `stride` divides them. */
export const paddedTo = (extents: Extents, stride: number | Extents): Extents => {
  const [h, w, d] = typeof stride === "number" ? [stride, stride, stride] : stride;
  const [height, width, depth] = coarser(extents, stride);
  return [height * h, width * w, depth * d];
};

/** A dense convolution of `kernel` elements, `positions` out and `from` in (default: as many). */
export function convolution(
  positions: number,
  into: number,
  out: number,
  kernel: number,
  from = positions,
): Operation {
  const weights = into * out * kernel;
  const values = from * into + positions * out;
  return {
    kind: "convolution",
    multiplyAdds: positions * weights,
    values,
    weights,
    width: Math.min(into, out),
    calls: 1,
  };
}

/** A linear layer on so many rows. */
export const product = (rows: number, into: number, out: number): Operation => ({
  ...convolution(rows, into, out, 1),
  kind: "product",
});

/** A depthwise convolution of `kernel` elements. */
export const depthwise = (positions: number, features: number, kernel: number): Operation => ({
  kind: "depthwise",
  multiplyAdds: positions * features * kernel,
  values: 2 * positions * features,
  weights: features * kernel,
  width: features,
  calls: 1,
});

/** What goes through so many values, reading and writing counted apart. */
export const pass = (values: number, calls = 1): Operation => ({
  kind: "pass",
  multiplyAdds: 0,
  values,
  weights: 0,
  width: 1,
  calls,
});

/** A norm with its activation: its input is read for the statistics and again, then written. */
export const norm = (positions: number, features: number): Operation => pass(3 * positions * features);

/** The same work so many times over, a case. */
export const times = (count: number, work: Work): Work =>
  work.map((one) => ({
    ...one,
    multiplyAdds: count * one.multiplyAdds,
    values: count * one.values,
    weights: count * one.weights,
    calls: count * one.calls,
  }));

export const multiplyAddsOf = (work: Work): number =>
  work.reduce((total, { multiplyAdds }) => total + multiplyAdds, 0);

/** A residual block of two convolutions 3x3x3 with instance norms, and a shortcut where its width changes. */
export const residualBlock = (positions: number, into: number, out: number): Work => [
  convolution(positions, into, out, 27),
  norm(positions, out),
  convolution(positions, out, out, 27),
  ...(into === out ? [] : [convolution(positions, into, out, 1), norm(positions, out)]),
  pass(4 * positions * out), // the second norm adds the shortcut
];

/** Each of `positions` becomes `factor` of `out` features: a product, and its values brought to their places. */
export const spread = (positions: number, into: number, out: number, factor: number): Work => [
  product(positions, into, factor * out),
  pass(2 * positions * factor * out),
];

/** What comes from below, `factor` times as fine, joined to what came down, goes through a residual block. */
export const upBlock = (positions: number, into: number, out: number, factor = 8): Work => [
  ...spread(positions / factor, into, out, factor),
  pass(4 * positions * out),
  ...residualBlock(positions, 2 * out, out),
];

/** A block of a ConvNeXt V2: depthwise 7x7x7, norm, and twice four times the width, with global response normalisation between. */
export const convNeXtBlock = (positions: number, dim: number): Work => [
  depthwise(positions, dim, 343),
  norm(positions, dim),
  product(positions, dim, 4 * dim),
  pass(4 * 4 * positions * dim),
  product(positions, 4 * dim, dim),
  pass(3 * positions * dim),
];
