import { readdir, realpath, stat } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { z } from "zod";
import type { CasePaths } from "../cohort/case-on-grid.js";
import { type CohortColumns, volumeRolesOf } from "../cohort/columns.js";
import { openImage } from "../cohort/formats/open-image.js";
import { defaultManifestLimits, readManifest } from "../cohort/manifest.js";
import { type CaseFiles, caseFilesFields, filePath } from "../cohort/prepare-volume.js";
import { prostateColumns } from "../cohort/presets/prostate.js";
import { requireList, requirePath } from "../common/arguments.js";
import { describe, expected, TransferLimitsError } from "../common/errors.js";
import { codedError } from "../common/system-errors.js";
import { checked, section } from "../common/validation.js";

/** The files of one case, and what it is called; default: after its `t2w` file. */
export interface NamedCaseFiles extends CaseFiles {
  id?: string;
}

/** The files of one case by the names of columns of one's own, and what it is called. */
export type CaseOfColumns = NamedCaseFiles | Readonly<Record<string, string>>;

/** An image to embed, with what lies beside it. */
export interface ListedCase {
  id: string;
  /** Whose it is, where a manifest says so. */
  patient?: string;
  paths: CasePaths;
}

export interface ImageList {
  cases: ListedCase[];
  /** The manifest that they come from, from whose folder its paths are; null where there is none. */
  manifest: string | null;
}

const imageName = /\.(?:nii|nii\.gz|mha|mhd|nrrd|nhdr)$/i;
const imageNames = ".nii, .nii.gz, .mha, .mhd, .nrrd or .nhdr";

const caseName = z.string().refine((id) => /^[^\p{Cc}]{1,500}$/u.test(id), {
  error: ({ input }) => `expected a name of 1 to 500 characters but received ${describe(input)}`,
});

/** The files of a case, by column; the reference is needed. */
function namedCaseSchema(columns: CohortColumns) {
  const files =
    columns === prostateColumns
      ? caseFilesFields
      : Object.fromEntries(
          volumeRolesOf(columns).map((role) => [
            role,
            role === columns.reference ? filePath : filePath.optional(),
          ]),
        );
  return section({ ...files, id: caseName.optional() });
}

/**
 * Finds the images that are meant: files, the images that lie in folders, cases of several files, or one manifest. Whether
 * an image can be read is not looked at.
 *
 * @throws `BAD_INPUT` where a folder holds no image, where two files are one, or have one name; `BAD_MANIFEST`
 */
export async function listImages(
  images: string | readonly (string | CaseOfColumns)[],
  columns: CohortColumns = prostateColumns,
): Promise<ImageList> {
  if (typeof images === "string") {
    requirePath(images, "images");
    if (await isManifest(images)) return ofManifest(images, columns);
  }
  const entries = typeof images === "string" ? [images] : images;
  requireList(
    entries,
    "images",
    "an image, a folder of images, a manifest, or an array of images and folders",
  );
  if (entries.length === 0) throw expected("at least one image", "images", entries);
  const { reference } = columns;
  const named: { id: string | undefined; paths: CasePaths }[] = [];
  for (const [index, entry] of entries.entries()) {
    const name = `images[${index}]`;
    if (typeof entry === "object") {
      const { id, ...paths } = checked(namedCaseSchema(columns), entry, name);
      named.push({ id: id as string | undefined, paths: paths as unknown as CasePaths });
      continue;
    }
    requirePath(entry, name);
    if (manifestName.test(entry))
      throw expected("images and folders; a manifest stands by itself", name, entry);
    const inFolder = await imagesIn(entry);
    for (const path of inFolder ?? [entry]) named.push({ id: undefined, paths: { [reference]: path } });
  }
  const common = commonFolder(named.map(({ paths }) => resolve(paths[reference] as string)));
  const cases = named.map(({ id, paths }) => ({
    id: id ?? relative(common, resolve(paths[reference] as string)).replace(imageName, ""),
    paths,
  }));
  await refuseDoubles(cases, reference);
  return { cases, manifest: null };
}

const manifestName = /\.(?:csv|tsv)$/i;

/** Whether a path is that of a manifest: it is called so, or is a file that is no image, neither by name nor by content. */
async function isManifest(path: string): Promise<boolean> {
  if (manifestName.test(path)) return true;
  if (imageName.test(path)) return false;
  const found = await stat(path).catch(() => null);
  if (!found?.isFile()) return false;
  return openImage(path).then(
    () => false,
    () => true,
  );
}

async function ofManifest(path: string, columns: CohortColumns): Promise<ImageList> {
  const { cases, path: manifest } = await readManifest(path, defaultManifestLimits, columns);
  return { cases: cases.map(({ id, patient, volumes }) => ({ id, patient, paths: volumes })), manifest };
}

/** The images that lie in a folder, by name; null for what is no folder. Hidden files are no images. */
async function imagesIn(path: string): Promise<string[] | null> {
  const found = await stat(path).catch(() => null);
  if (!found?.isDirectory()) return null;
  let names: string[];
  try {
    names = (await readdir(path)).filter((name) => !name.startsWith(".")).sort();
  } catch (error) {
    throw codedError(error, path);
  }
  const images = names.filter((name) => imageName.test(name));
  if (images.length === 0) throw new TransferLimitsError("BAD_INPUT", withoutImages(path, names));
  return images.map((name) => join(path, name));
}

function withoutImages(path: string, names: readonly string[]): string {
  const received =
    names.length === 0
      ? "an empty one"
      : names.length === 1
        ? `1 other entry, ${describe(names[0])}`
        : `${names.length} other entries, such as ${describe(names[0])}`;
  const isDicom = names.some((name) => /\.(?:dcm|ima)$/i.test(name) || name === "DICOMDIR");
  return (
    `Expected a folder with images (${imageNames}) for ${describe(path)} but received ${received}. ` +
    (isDicom
      ? "DICOM is converted first, by dcm2niix for instance"
      : "Folders in it are not looked into: name the files, such as FOLDER/*/t2w.nii.gz, or write a manifest")
  );
}

/** The lowest folder that holds all of these files. */
function commonFolder(paths: readonly string[]): string {
  let common = dirname(paths[0] as string);
  for (const path of paths)
    while (!path.startsWith(common === sep ? sep : common + sep)) common = dirname(common);
  return common;
}

/** One image that counts twice changes what is computed from a set: it is refused before any work. */
async function refuseDoubles(cases: readonly ListedCase[], reference: string): Promise<void> {
  const byName = new Map<string, string>();
  const byFile = new Map<string, string>();
  for (const { id, paths } of cases) {
    const given = paths[reference] as string;
    const file = await realpath(given).catch(() => resolve(given));
    const same = byFile.get(file);
    if (same !== undefined)
      throw new TransferLimitsError(
        "BAD_INPUT",
        `Expected each image once but received ${describe(same)} and ${describe(given)}, which are one file`,
      );
    byFile.set(file, given);
    const alike = byName.get(id);
    if (alike !== undefined)
      throw new TransferLimitsError(
        "BAD_INPUT",
        `Expected a name of its own for each image but received ${describe(alike)} and ${describe(given)}, which are both ` +
          `called ${describe(id)}. Leave one out, or give each an id: a script by { id, ${reference} }, the command line by a manifest`,
      );
    byName.set(id, given);
  }
}
