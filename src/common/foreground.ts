/**
 * The one definition of a mask's foreground, in any of its labels: what lies above this. `native/volumes/masks.h` holds the
 * same number for what loops over voxels; a test compares them.
 */
export const foregroundAbove = 0.5;
