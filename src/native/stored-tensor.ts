import { TransferLimitsError } from "../common/errors.js";
import { productOf } from "../common/numbers.js";
import { openRegularFile } from "../common/regular-file.js";
import type { TensorLocation, TypedArray } from "./addon.js";
import { addon, settle } from "./load-addon.js";
import { decoderOf, type StoredType, storedTypes } from "./number-formats.js";
import { Tensor } from "./tensor.js";

/** Types whose bytes LibTorch takes as they lie in the file. */
const mappable = ["float64", "float32", "float16", "bfloat16", "int64", "uint8"] as const;
type Mappable = (typeof mappable)[number];

/** Where the elements of one tensor lie in a file. Nothing has been read yet. */
export interface StoredTensor {
  /** Of the file. */
  readonly path: string;
  /** Byte of the first element. */
  readonly offset: number;
  readonly dtype: StoredType;
  readonly shape: readonly number[];
  /** Elements from one index to the next, for each axis; 0 repeats. */
  readonly strides: readonly number[];
  /** False where numbers lie with their most significant byte first. */
  readonly littleEndian: boolean;
}

/** The strides of a row-major tensor. */
export function rowMajor(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= Math.max(1, shape[axis] as number);
  }
  return strides;
}

export const elementsOf = (shape: readonly number[]): number => productOf(shape);

/** Elements from the first to the last that a tensor touches, both counted; 0 for an empty one. */
export function spanOf({ shape, strides }: Pick<StoredTensor, "shape" | "strides">): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((last, extent, axis) => last + (extent - 1) * (strides[axis] as number), 0) + 1;
}

/** Whether the elements lie one after the other, in row-major order. */
export function isContiguous({ shape, strides }: Pick<StoredTensor, "shape" | "strides">): boolean {
  const dense = rowMajor(shape);
  return shape.includes(0) || shape.every((extent, axis) => extent === 1 || strides[axis] === dense[axis]);
}

/**
 * Brings one tensor into memory, as another shape of as many elements where one is given. Half precision and 8-bit
 * floats become float32; integers other than uint8 become int64, bool becomes uint8. Contiguous elements are mapped
 * from the file, so that they take no memory of their own; others are read and put into row-major order.
 *
 * @throws `BAD_CHECKPOINT` where the file has become shorter, or the type has no counterpart
 */
export async function loadStored(
  stored: StoredTensor,
  { device = "cpu", shape = stored.shape }: { device?: string; shape?: readonly number[] } = {},
): Promise<Tensor> {
  const location = locationOf(stored, shape);
  if (location !== null) return new Tensor(await settle(addon().tensorMap(location, device)));
  return Tensor.from(await readStored(stored), shape, device);
}

/** How many elements of a tensor are NaN or infinite; 0 where they are no floating-point numbers. */
export async function countNotFinite(stored: StoredTensor): Promise<number> {
  if (!/^b?float/.test(stored.dtype)) return 0;
  const location = locationOf(stored, stored.shape);
  if (location !== null) return settle(addon().tensorMapCountNotFinite(location));
  using tensor = await loadStored(stored);
  return tensor.countNotFinite();
}

/** Where LibTorch finds the elements as it wants them; null where they have to be decoded or put in order. */
function locationOf(stored: StoredTensor, shape: readonly number[]): TensorLocation | null {
  const { path, offset, dtype, littleEndian } = stored;
  if (!littleEndian || !isContiguous(stored) || !isMappable(dtype)) return null;
  return { path, offset, length: elementsOf(shape) * storedTypes[dtype], dtype, shape: [...shape] };
}

const isMappable = (dtype: StoredType): dtype is Mappable => (mappable as readonly string[]).includes(dtype);

/** The elements of one tensor in row-major order; types as `loadStored` has them. It does not need LibTorch. */
export async function readStored(stored: StoredTensor): Promise<TypedArray> {
  const { dtype, shape, strides, littleEndian } = stored;
  const decoder = decoderOf(dtype);
  if (decoder === null) {
    throw new TransferLimitsError(
      "BAD_CHECKPOINT",
      `${stored.path} holds a tensor of type ${dtype}, which has no counterpart here: only real numbers are loaded`,
    );
  }
  const bytes = await readBytes(stored.path, stored.offset, spanOf(stored) * storedTypes[dtype]);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = decoder.allocate(elementsOf(shape));
  let written = 0;
  const copy = (axis: number, element: number): void => {
    const extent = shape[axis] as number;
    const stride = strides[axis] as number;
    if (axis === shape.length - 1) {
      decoder.decode(view, element, stride, extent, values, written, littleEndian);
      written += extent;
      return;
    }
    for (let index = 0; index < extent; index++) copy(axis + 1, element + index * stride);
  };
  if (shape.length === 0) decoder.decode(view, 0, 1, 1, values, 0, littleEndian);
  else if (!shape.includes(0)) copy(0, 0);
  return values;
}

/** Reads a range of a file, all of it. @throws `BAD_CHECKPOINT` where the file ends before */
export async function readBytes(path: string, offset: number, length: number): Promise<Buffer> {
  const { file, size } = await openRegularFile(path);
  try {
    if (offset + length > size) {
      throw new TransferLimitsError(
        "BAD_CHECKPOINT",
        `${path} was truncated: a tensor ends at byte ${offset + length} of ${size}`,
      );
    }
    const buffer = Buffer.allocUnsafeSlow(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await file.read(buffer, done, Math.min(length - done, 1 << 30), offset + done);
      if (bytesRead === 0)
        throw new TransferLimitsError("BAD_CHECKPOINT", `${path} ended after byte ${offset + done}`);
      done += bytesRead;
    }
    return buffer;
  } finally {
    await file.close();
  }
}
