import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { constants, gunzip } from "node:zlib";
import { describe } from "../../common/errors.js";
import { readPrefix } from "./attached-data.js";
import { badImage, pointerReason, reasonNotOpened } from "./bad-image.js";
import { ByteSource } from "./byte-source.js";
import { defaultImageLimits } from "./limits.js";
import { looksLikeMetaImage, openMetaImage } from "./meta-image.js";
import { niftiHeaderBytes, niftiVersion, openNifti } from "./nifti.js";
import { looksLikeNrrd, openNrrd } from "./nrrd.js";
import type { OpenedImage, OpenOptions } from "./opened-image.js";

/** What is read of a file to find out what it is: of a compressed one, more than its header takes. */
const prefixBytes = 4096;

const decompress = promisify(gunzip);

/**
 * Finds out from its content, not its name, what an image file is, and reads its header.
 *
 * @param path the file; only it, and a data file inside `root` that its header names, is opened
 * @param options where absent: a header's data file must lie in the file's own folder, and the limits are the default ones
 * @throws TransferLimitsError `BAD_IMAGE`, naming the file and the reason
 */
export async function openImage(path: string, options: Partial<OpenOptions> = {}): Promise<OpenedImage> {
  const { root = dirname(path), limits = defaultImageLimits } = options;
  const fileBytes = await sizeOf(path);
  const start = await first(path, fileBytes);
  const compressed = start[0] === 0x1f && start[1] === 0x8b;
  const location = { path, fileBytes, start: 0, compressed };
  const prefix = compressed ? await decompressedStart(location, start) : start.subarray(0, niftiHeaderBytes);
  const version = niftiVersion(prefix);
  const pointer = pointerReason(path, start);
  if (pointer !== null) throw badImage(path, pointer);
  if (version !== undefined) return openNifti(location, prefix, version, limits);
  if (!compressed && looksLikeNrrd(prefix)) return openNrrd(path, fileBytes, { root, limits });
  if (!compressed && isMetaImage(path, prefix)) return openMetaImage(path, fileBytes, { root, limits });
  const beginning = prefix.toString("latin1", 0, 16).replace(/[^\x20-\x7e]/g, "?");
  throw badImage(
    path,
    `it is not an image of a known format: ${compressed ? "decompressed, " : ""}it begins with ${describe(beginning)}; ` +
      "expected NIfTI (.nii, .nii.gz), MetaImage (.mha, .mhd) or NRRD (.nrrd)",
  );
}

const isMetaImage = (path: string, start: Buffer): boolean =>
  looksLikeMetaImage(start) || /\.mh[ad]$/i.test(path);

/** Whether a file has a header of text, which may name another file that the voxels lie in. */
export async function hasTextHeader(path: string): Promise<boolean> {
  const start = await readPrefix(path, niftiHeaderBytes);
  return looksLikeNrrd(start) || isMetaImage(path, start);
}

async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch(async (error: unknown) => {
    throw badImage(path, await reasonNotOpened(path, error), error);
  });
  if (!found.isFile()) throw badImage(path, "it is not a regular file");
  if (found.size === 0) throw badImage(path, "the file is empty");
  return found.size;
}

async function first(path: string, fileBytes: number): Promise<Buffer> {
  const prefix = await readPrefix(path, Math.min(fileBytes, prefixBytes)).catch(async (error: unknown) => {
    throw badImage(path, await reasonNotOpened(path, error), error);
  });
  if (prefix.length === 0) throw badImage(path, "the file is empty");
  return prefix;
}

async function decompressedStart(
  location: ConstructorParameters<typeof ByteSource>[0],
  start: Buffer,
): Promise<Buffer> {
  // What stands in the prefix is nearly always enough; what is wrong with a damaged file, the source says.
  const known = await decompress(start, { finishFlush: constants.Z_SYNC_FLUSH }).catch(() => null);
  if (known !== null && known.length >= niftiHeaderBytes) return known.subarray(0, niftiHeaderBytes);
  const source = new ByteSource(location, { extent: "beginning" });
  try {
    return await source.readUpTo(niftiHeaderBytes);
  } finally {
    await source.close();
  }
}
