import { productOf } from "../../common/numbers.js";
import { badImage } from "./bad-image.js";
import type { ByteLocation } from "./byte-source.js";

/** What an image file may ask for, so that a small one costs little. A study may raise both. */
export interface ImageLimits {
  /** The most voxels of one volume. */
  voxels: number;
  /** How many times as large as the file it may become when decompressed; up to 256 MiB it always may. */
  expansion: number;
}

/** 512 x 512 x 512 voxels; and more than images expand to. Empty masks expand to more, up to 1,032, but are small. */
export const defaultImageLimits: Readonly<ImageLimits> = { voxels: 2 ** 27, expansion: 200 };

/** Volumes in a file: each is one entry of what `inspect` says. */
const mostVolumes = 2 ** 16;

/** Deflate cannot expand a byte into more than this many: what a compressed file can hold at the very most. */
export const largestExpansion = 1032;

/** What any file may become when decompressed, however small it is: masks compress to almost nothing. */
const alwaysDecompressed = 2 ** 28;

const grouped = (count: number) => count.toLocaleString("en");

/** Where the limits can be changed, for a message's end. */
const raised = (name: keyof ImageLimits) =>
  `if the file is to be trusted, raise cohort.images.${name} of the study, or limits.${name} of readImage`;

/** Checks what a header says about the extent of its volumes, before anything of that size is allocated. */
export function requireSize(
  path: string,
  size: readonly number[],
  volumes: number,
  limits: ImageLimits,
): void {
  const text = size.join(" x ");
  if (!size.every((length) => Number.isSafeInteger(length) && length >= 1))
    throw badImage(path, `its header gives a size of ${text}; expected whole numbers of at least 1`);
  if (productOf(size) > limits.voxels)
    throw badImage(
      path,
      `its header gives a size of ${text}, more than ${grouped(limits.voxels)} voxels; ${raised("voxels")}`,
    );
  if (!Number.isSafeInteger(volumes) || volumes < 1 || volumes > mostVolumes)
    throw badImage(
      path,
      `its header gives ${grouped(volumes)} volumes; expected 1 to ${grouped(mostVolumes)}`,
    );
}

/** Volumes that lie in one another, voxel by voxel, are read at once: together they must be no larger than one may be. */
export function requireInterleaved(
  path: string,
  { voxels, volumes, run }: { voxels: number; volumes: number; run: number },
  limits: ImageLimits,
): void {
  if (run < voxels && voxels * volumes > limits.voxels)
    throw badImage(
      path,
      `its ${grouped(volumes)} volumes lie in one another and have ${grouped(voxels * volumes)} voxels together, more than ` +
        `${grouped(limits.voxels)}; store volume after volume, or ${raised("voxels")}`,
    );
}

/**
 * Refuses, before anything is allocated, a header that claims more bytes than the file can hold, or than it may expand to.
 * `reported` is the file that the message names (the header's).
 */
export function requirePlausibleSize(
  location: ByteLocation,
  wanted: number,
  reported: string,
  limits: ImageLimits,
): void {
  const stored = Math.max(location.fileBytes - location.start, 0);
  const possible = location.compressed ? stored * largestExpansion : stored;
  const file = location.path === reported ? "the file" : location.path;
  if (wanted > possible) {
    const found = stored === 0 ? "holds none (a header without voxels)" : `holds ${grouped(stored)}`;
    throw badImage(
      reported,
      `its header promises ${grouped(wanted)} bytes, but ${file} ${found}` +
        `${location.compressed ? " compressed ones, too few for that many" : ""}; it is truncated or damaged`,
    );
  }
  if (location.compressed && wanted > Math.max(alwaysDecompressed, stored * limits.expansion))
    throw badImage(
      reported,
      `its header promises ${grouped(wanted)} bytes, ${grouped(Math.floor(wanted / stored))} times as many as the ` +
        `${grouped(stored)} that ${file} holds compressed, more than ${grouped(limits.expansion)} times; ` +
        raised("expansion"),
    );
}
