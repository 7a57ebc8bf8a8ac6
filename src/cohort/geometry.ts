import { expected } from "../common/errors.js";
import { productOf } from "../common/numbers.js";

/**
 * Affine maps as row-major 4x4 matrices. Voxel indices stand in the order of the tensor, (k, j, i, 1); patient positions
 * are (x, y, z, 1) in millimetres, LPS: x grows to the patient's left, y to the back, z to the head.
 */
export type Affine = readonly number[];
export type Triple = readonly [number, number, number];

/** A grid of voxels in the patient. */
export interface VoxelGrid {
  /** [D, H, W] */
  shape: [number, number, number];
  /** Voxel index (k, j, i, 1) to patient position. */
  voxelToPatient: number[];
}

const at = (matrix: Affine, row: number, column: number) => matrix[4 * row + column] as number;

/** `a b`: the map that applies `b` first, then `a`. */
export function multiply(a: Affine, b: Affine): number[] {
  const product: number[] = [];
  for (let row = 0; row < 4; row++) {
    for (let column = 0; column < 4; column++) {
      let sum = 0;
      for (let inner = 0; inner < 4; inner++) sum += at(a, row, inner) * at(b, inner, column);
      product.push(sum);
    }
  }
  return product;
}

/**
 * The inverse of an affine map, by cofactors of its 3x3 part.
 *
 * @throws `BAD_INPUT` when its axes do not span space.
 */
export function invertAffine(matrix: Affine): number[] {
  const cofactor = (row: number, column: number) => {
    const [r1, r2] = [(row + 1) % 3, (row + 2) % 3];
    const [c1, c2] = [(column + 1) % 3, (column + 2) % 3];
    return at(matrix, r1, c1) * at(matrix, r2, c2) - at(matrix, r1, c2) * at(matrix, r2, c1);
  };
  const determinant = [0, 1, 2].reduce((sum, column) => sum + at(matrix, 0, column) * cofactor(0, column), 0);
  const lengths = [0, 1, 2].map((column) => axisLength(matrix, column));
  const box = productOf(lengths);
  if (!(Math.abs(determinant) > 1e-9 * box))
    throw expected("an affine map whose axes span space", "matrix", matrix);
  const inverse: number[] = [];
  for (let row = 0; row < 3; row++) {
    const axes = [0, 1, 2].map((column) => cofactor(column, row) / determinant);
    const shift = axes.reduce((sum, value, column) => sum - value * at(matrix, column, 3), 0);
    inverse.push(...axes, shift);
  }
  return [...inverse, 0, 0, 0, 1];
}

/** Where an affine map takes a point. */
export function applyAffine(matrix: Affine, point: readonly number[]): [number, number, number] {
  const [x, y, z] = point as unknown as Triple;
  const row = (r: number) =>
    at(matrix, r, 0) * x + at(matrix, r, 1) * y + at(matrix, r, 2) * z + at(matrix, r, 3);
  return [row(0), row(1), row(2)];
}

/** The length in millimetres of one step along a voxel axis: 0 is k, 1 is j, 2 is i. */
export const axisLength = (matrix: Affine, axis: number): number =>
  Math.hypot(at(matrix, 0, axis), at(matrix, 1, axis), at(matrix, 2, axis));

/** Voxel size in millimetres, [D, H, W]. */
export const spacingOf = (matrix: Affine): [number, number, number] => [
  axisLength(matrix, 0),
  axisLength(matrix, 1),
  axisLength(matrix, 2),
];

/** The affine of a grid whose steps along k, j and i are `steps` (patient, mm) and whose middle lies at `centre`. */
export function centredAffine(shape: Triple, steps: readonly Triple[], centre: Triple): number[] {
  const rows = [0, 1, 2].flatMap((row) => {
    const columns = steps.map((step) => step[row] as number);
    const half = columns.reduce((sum, value, axis) => sum + (value * ((shape[axis] as number) - 1)) / 2, 0);
    return [...columns, (centre[row] as number) - half];
  });
  return [...rows, 0, 0, 0, 1];
}

/** The patient position of the middle of a grid. */
export const middleOf = (grid: VoxelGrid): [number, number, number] =>
  applyAffine(
    grid.voxelToPatient,
    grid.shape.map((size) => (size - 1) / 2),
  );

/** The orders of three axes. */
export const permutations = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
] as const;

/** Where the output's axes k, j and i should point: to the head, to the back, to the left (a row of `x, y, z` each). */
const wanted: readonly Triple[] = [
  [0, 0, 1],
  [0, 1, 0],
  [1, 0, 0],
];

/**
 * A grid's own axes in the order and direction that are closest to (head, back, left): unit vectors in the patient,
 * and how far the grid reaches along each, in mm. Axes stay oblique where they are: nothing is turned, only swapped and
 * flipped.
 */
export function orderedAxes(grid: VoxelGrid): { directions: Triple[]; extents: [number, number, number] } {
  const units = [0, 1, 2].map((axis): Triple => {
    const length = axisLength(grid.voxelToPatient, axis);
    return [0, 1, 2].map((row) => at(grid.voxelToPatient, row, axis) / length) as unknown as Triple;
  });
  const along = (axis: number, target: number) =>
    (units[axis] as Triple).reduce(
      (sum, value, row) => sum + value * ((wanted[target] as Triple)[row] as number),
      0,
    );
  const closeness = (order: readonly number[]) =>
    order.reduce((sum, axis, target) => sum + Math.abs(along(axis, target)), 0);
  const best = permutations.reduce((winner, order) =>
    closeness(order) > closeness(winner) + 1e-9 ? order : winner,
  );
  const directions = best.map((axis, target): Triple => {
    const sign = along(axis, target) < 0 ? -1 : 1;
    return (units[axis] as Triple).map((value) => sign * value) as unknown as Triple;
  });
  const extents = best.map(
    (axis) => (grid.shape[axis] as number) * axisLength(grid.voxelToPatient, axis),
  ) as unknown as [number, number, number];
  return { directions, extents };
}

/**
 * The grid of a crop: `shape` voxels [D, H, W] over `fieldOfView` mm [D, H, W] with its middle at `centre` (patient,
 * mm); "whole" is all that the image reaches, about its own middle. Its axes are those of `image`, in the order and direction closest to
 * k to the head, j to the back, i to the left: axial slices as a radiologist sees them.
 */
export function cropGrid(
  image: VoxelGrid,
  shape: Triple,
  fieldOfView: Triple | "whole",
  centre: Triple = middleOf(image),
): VoxelGrid {
  const { directions, extents } = orderedAxes(image);
  const whole = fieldOfView === "whole";
  const reach = whole ? extents : fieldOfView;
  const steps = directions.map((direction, axis): Triple => {
    const size = (reach[axis] as number) / (shape[axis] as number);
    return direction.map((value) => value * size) as unknown as Triple;
  });
  return { shape: [...shape], voxelToPatient: centredAffine(shape, steps, whole ? middleOf(image) : centre) };
}

/** Voxel index of the output -> voxel index of the input, through the patient. */
export const gridToGrid = (output: Affine, input: Affine): number[] => multiply(invertAffine(input), output);

/**
 * The standard deviations, in input voxels [D, H, W], of the Gaussian that keeps downsampling from aliasing:
 * (s - 1) / 2 along an axis on which neighbouring output voxels lie s > 1 input voxels apart, 0 on the others: the rule
 * of `anti_aliasing` in scikit-image's `resize`. Under an oblique map, s is the length of the map's row: how far one
 * step along all output axes leads along that input axis, the axes taken as independent.
 */
export function antialiasingSigmas(outputToInput: Affine): [number, number, number] {
  const sigma = (row: number) => {
    const scale = Math.hypot(at(outputToInput, row, 0), at(outputToInput, row, 1), at(outputToInput, row, 2));
    return scale > 1 + 1e-6 ? (scale - 1) / 2 : 0;
  };
  return [sigma(0), sigma(1), sigma(2)];
}
