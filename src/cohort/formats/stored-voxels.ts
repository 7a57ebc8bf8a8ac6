import { badImage } from "./bad-image.js";
import { type ByteLocation, ByteSource } from "./byte-source.js";
import type { Volume } from "./opened-image.js";
import { scaleInto, type VoxelType, viewVoxels } from "./voxel-types.js";

/** How the voxels of a file lie in it. */
export interface StoredVoxels {
  /** The image's file, which messages name; the voxels may lie in another. */
  path: string;
  location: ByteLocation;
  /** Bytes before the first voxel, after decompression. */
  skipped: number;
  type: VoxelType;
  littleEndian: boolean;
  slope: number;
  intercept: number;
  /** Of one volume. */
  voxels: number;
  volumes: number;
  /**
   * How many voxels of one volume lie side by side before the next volume has its turn: all of them where volume follows
   * volume, 1 where each voxel's values lie together.
   */
  run: number;
}

/** What is converted at a time: besides the volume itself, no more is in memory of a file that is much larger. */
const chunkVoxels = 2 ** 18;

/** The wanted volumes, in order, converted to float32. Reads the file once, to its end. */
export async function* readStoredVoxels(
  stored: StoredVoxels,
  wanted: (index: number) => boolean,
): AsyncGenerator<Volume> {
  const source = new ByteSource(stored.location, { reported: stored.path });
  try {
    await source.skip(stored.skipped, "what comes before the voxels");
    if (stored.run === stored.voxels) yield* oneAfterTheOther(source, stored, wanted);
    else yield* interleaved(source, stored, wanted);
  } finally {
    await source.close();
  }
}

async function* oneAfterTheOther(
  source: ByteSource,
  stored: StoredVoxels,
  wanted: (index: number) => boolean,
): AsyncGenerator<Volume> {
  const { voxels, volumes, type } = stored;
  for (let index = 0; index < volumes; index++) {
    const what = volumes === 1 ? "the voxels" : `the voxels of volume ${index}`;
    if (!wanted(index)) {
      await source.skip(voxels * type.bytes, what);
      continue;
    }
    const data = allocate(stored);
    await convert(source, stored, voxels, what, (values, first) => {
      scaleInto(data, first, values, stored.slope, stored.intercept);
    });
    if (index === volumes - 1) await source.finish();
    yield { index, data };
  }
  await source.finish();
}

async function* interleaved(
  source: ByteSource,
  stored: StoredVoxels,
  wanted: (index: number) => boolean,
): AsyncGenerator<Volume> {
  const { voxels, volumes, run } = stored;
  const targets = Array.from({ length: volumes }, (_, index) => (wanted(index) ? allocate(stored) : null));
  const chunk = new Float32Array(Math.min(chunkVoxels, voxels * volumes));
  let volume = 0;
  let within = 0; // of the run
  let start = 0; // of the run in its volume
  await convert(source, stored, voxels * volumes, "the voxels", (values) => {
    scaleInto(chunk, 0, values, stored.slope, stored.intercept);
    for (let at = 0; at < values.length; ) {
      const length = Math.min(run - within, values.length - at);
      const target = targets[volume];
      if (target && length === 1) target[start + within] = chunk[at] as number;
      else if (target) target.set(chunk.subarray(at, at + length), start + within);
      at += length;
      within += length;
      if (within < run) continue;
      within = 0;
      if (++volume < volumes) continue;
      volume = 0;
      start += run;
    }
  });
  await source.finish();
  for (const [index, data] of targets.entries()) if (data !== null) yield { index, data };
}

/** Hands `count` values over, chunk by chunk: `take(values, first)` gets those from the value `first` on. */
async function convert(
  source: ByteSource,
  { type, littleEndian }: StoredVoxels,
  count: number,
  what: string,
  take: (values: ReturnType<typeof viewVoxels>, first: number) => void,
): Promise<void> {
  for (let first = 0; first < count; first += chunkVoxels) {
    const bytes = new ArrayBuffer(Math.min(chunkVoxels, count - first) * type.bytes);
    const part = { first: first * type.bytes, total: count * type.bytes };
    await source.readInto(new Uint8Array(bytes), what, part);
    take(viewVoxels(bytes, type, littleEndian), first);
  }
}

function allocate({ path, voxels }: StoredVoxels): Float32Array {
  try {
    return new Float32Array(voxels);
  } catch (error) {
    throw badImage(
      path,
      `a volume of ${voxels.toLocaleString("en")} voxels takes ${(4 * voxels).toLocaleString("en")} bytes of memory, ` +
        "which are not to be had; free memory, or store it smaller",
      error,
    );
  }
}
