/** An NRRD whose axes i, j and k point to the left, the back and the head; sizes and millimetres along i, j and k. */
export function nrrdOf(
  sizes: readonly [number, number, number],
  spacing: readonly [number, number, number],
  voxels: Int16Array,
): Buffer {
  const [x, y, z] = spacing;
  const header = [
    "NRRD0004",
    "type: short",
    "dimension: 3",
    "space: left-posterior-superior",
    `sizes: ${sizes.join(" ")}`,
    `space directions: (${x},0,0) (0,${y},0) (0,0,${z})`,
    "space origin: (0,0,0)",
    "endian: little",
    "encoding: raw",
    "",
    "",
  ].join("\n");
  return Buffer.concat([Buffer.from(header), Buffer.from(voxels.buffer)]);
}
