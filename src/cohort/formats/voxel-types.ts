import { endianness } from "node:os";

type NumberArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array;
export type VoxelArray = NumberArray | BigInt64Array | BigUint64Array;

/** A way to store one real number. */
export interface VoxelType {
  name: string;
  bytes: 1 | 2 | 4 | 8;
  view: new (buffer: ArrayBuffer) => VoxelArray;
}

export const voxelTypes = {
  int8: { name: "int8", bytes: 1, view: Int8Array },
  uint8: { name: "uint8", bytes: 1, view: Uint8Array },
  int16: { name: "int16", bytes: 2, view: Int16Array },
  uint16: { name: "uint16", bytes: 2, view: Uint16Array },
  int32: { name: "int32", bytes: 4, view: Int32Array },
  uint32: { name: "uint32", bytes: 4, view: Uint32Array },
  int64: { name: "int64", bytes: 8, view: BigInt64Array },
  uint64: { name: "uint64", bytes: 8, view: BigUint64Array },
  float32: { name: "float32", bytes: 4, view: Float32Array },
  float64: { name: "float64", bytes: 8, view: Float64Array },
} as const satisfies Record<string, VoxelType>;

/** The numbers in `bytes` (which may be swapped in place) as an array of their own type. */
export function viewVoxels(bytes: ArrayBuffer, type: VoxelType, littleEndian: boolean): VoxelArray {
  if (littleEndian !== (endianness() === "LE")) {
    const buffer = Buffer.from(bytes);
    if (type.bytes === 2) buffer.swap16();
    else if (type.bytes === 4) buffer.swap32();
    else if (type.bytes === 8) buffer.swap64();
  }
  return new type.view(bytes);
}

/**
 * Writes every voxel times slope plus intercept, computed in float64 and rounded to float32 once, into `target` from
 * `first` on.
 */
export function scaleInto(
  target: Float32Array,
  first: number,
  stored: VoxelArray,
  slope: number,
  intercept: number,
): void {
  if (stored instanceof BigInt64Array || stored instanceof BigUint64Array) {
    for (let voxel = 0; voxel < stored.length; voxel++)
      target[first + voxel] = Number(stored[voxel]) * slope + intercept;
  } else if (slope === 1 && intercept === 0) target.set(stored, first);
  else
    for (let voxel = 0; voxel < stored.length; voxel++)
      target[first + voxel] = (stored[voxel] as number) * slope + intercept;
}
