/**
 * An image as a NIfTI-1 file, little-endian, uncompressed: what this package writes itself (phantoms). The position is the
 * sform, in scanner coordinates; NIfTI counts towards the right, anterior and superior, so x and y change sign.
 *
 * @param shape [D, H, W], each at most 32,767
 * @param voxelToPatient row-major: voxel index (k, j, i, 1) to patient position (LPS, mm); three or four rows
 */
export function niftiFile(
  shape: readonly [number, number, number],
  voxelToPatient: readonly number[],
  data: Int16Array | Uint8Array,
): Buffer {
  const [depth, height, width] = shape;
  const header = Buffer.alloc(firstVoxel);
  header.writeInt32LE(348, 0);
  for (const [index, length] of [3, width, height, depth, 1, 1, 1, 1].entries())
    header.writeInt16LE(length, 40 + 2 * index);
  const [type, bits] = data instanceof Int16Array ? [4, 16] : [2, 8];
  header.writeInt16LE(type, 70);
  header.writeInt16LE(bits, 72);
  // Column 2 of the matrix is i, 1 is j, 0 is k.
  const spacing = [2, 1, 0].map((column) =>
    Math.hypot(...[0, 1, 2].map((row) => voxelToPatient[4 * row + column] as number)),
  );
  for (const [index, step] of [1, ...spacing].entries()) header.writeFloatLE(step, 76 + 4 * index);
  header.writeFloatLE(firstVoxel, 108);
  header.writeFloatLE(1, 112); // slope
  header.writeInt8(2, 123); // millimetres
  header.writeInt16LE(1, 254); // the sform is in the scanner's coordinates
  for (const [row, sign] of [-1, -1, 1].entries())
    for (const [place, column] of [2, 1, 0, 3].entries())
      header.writeFloatLE(sign * (voxelToPatient[4 * row + column] as number), 280 + 16 * row + 4 * place);
  header.write("n+1", 344, "latin1");
  return Buffer.concat([header, Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);
}

/** The header, and four bytes that say that no extension follows. */
const firstVoxel = 352;
