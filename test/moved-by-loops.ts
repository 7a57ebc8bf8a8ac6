import type { Motion } from "../dist/native/augmentation.js";

export type Triple = readonly [number, number, number];

/** The definition, voxel by voxel: where each voxel of the result comes from; 0 where from beyond the volume. */
export function movedByLoops(
  values: ArrayLike<number>,
  [depth, height, width]: Triple,
  motion: Motion,
): number[] {
  const result: number[] = [];
  const source = (index: number, axis: number, extent: number): number | null => {
    const before = index - (motion.shift[axis] as number);
    if (before < 0 || before >= extent) return null;
    return motion.flipped.includes(axis) ? extent - 1 - before : before;
  };
  for (let volume = 0; volume < values.length; volume += depth * height * width)
    for (let k = 0; k < depth; k++)
      for (let j = 0; j < height; j++)
        for (let i = 0; i < width; i++) {
          const [from, row, column] = [source(k, 0, depth), source(j, 1, height), source(i, 2, width)];
          result.push(
            from === null || row === null || column === null
              ? 0
              : (values[volume + (from * height + row) * width + column] as number),
          );
        }
  return result;
}
