import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Image as ItkImage } from "itk-wasm";
import { messageOf } from "../../common/errors.js";
import { badImage } from "./bad-image.js";
import { type ImageFormat, type OpenedImage, requireSize, voxelToPatientFrom } from "./opened-image.js";
import { scaleVoxels, type VoxelArray, voxelTypes } from "./voxel-types.js";

/** What our own reading of a header found; ITK must find the same. */
export interface CanonicalImage {
  path: string;
  format: ImageFormat;
  compressed: boolean;
  /** Voxels along every axis, fastest first, as the header gives them. */
  sizes: number[];
  /** A whole file: a header of known fields, then the voxels, uncompressed. */
  bytes: Uint8Array;
}

const pipelines = {
  MetaImage: ["meta-read-image", "image.mha"],
  NRRD: ["nrrd-read-image", "image.nrrd"],
} as const;

/**
 * Lets ITK (compiled to WebAssembly) read a file that lies in memory. The package's own entry points would
 * mount the file's folder, and with it everything that a header may refer to; here nothing of the disk is
 * mounted, so ITK sees this one file and nothing else.
 */
export async function readWithItk(image: CanonicalImage): Promise<OpenedImage> {
  const { path } = image;
  const [pipeline, name] = pipelines[image.format as keyof typeof pipelines];
  const read = await runReader(path, pipeline, name, image.bytes);
  const { imageType } = read;
  const type = voxelTypes[imageType.componentType as keyof typeof voxelTypes];
  const data = read.data as unknown as VoxelArray | null;
  if (type === undefined || data === null || imageType.pixelType === "Complex")
    throw badImage(
      path,
      `its voxels are of the type ${imageType.componentType}; expected one real number each`,
    );

  const size = read.size.slice(0, 3) as [number, number, number];
  requireSize(path, size);
  const voxels = size[0] * size[1] * size[2];
  // Several volumes come as a fourth axis, or as several components of every voxel.
  const components = imageType.components;
  const volumes = components * (read.size[3] ?? 1);
  const wanted = image.sizes.reduce((product, length) => product * length, 1);
  if (read.size.length > 4 || (components > 1 && read.size.length > 3) || data.length !== wanted)
    throw badImage(
      path,
      `it was read as ${read.size.join(" x ")} voxels, but its header says ${image.sizes.join(" x ")}`,
    );
  return {
    path,
    format: image.format,
    compressed: image.compressed,
    storedType: type.name,
    size,
    volumes,
    voxelToPatient: positionOf(path, read),
    async *readVolumes(isWanted) {
      for (let index = 0; index < volumes; index++) {
        if (!isWanted(index)) continue;
        if (components === 1) {
          yield { index, data: scaleVoxels(data.slice(index * voxels, (index + 1) * voxels), 1, 0) };
          continue;
        }
        const volume = new Float32Array(voxels);
        for (let voxel = 0; voxel < voxels; voxel++) volume[voxel] = Number(data[voxel * components + index]);
        yield { index, data: volume };
      }
    },
  };
}

function positionOf(path: string, image: ItkImage): number[] {
  const dimension = image.imageType.dimension;
  const direction = image.direction as unknown as ArrayLike<number>;
  const axes = [0, 1, 2].map((axis) =>
    [0, 1, 2].map((row) => (direction[row * dimension + axis] as number) * (image.spacing[axis] as number)),
  );
  return voxelToPatientFrom(path, axes, image.origin.slice(0, 3));
}

async function runReader(path: string, pipeline: string, name: string, bytes: Uint8Array): Promise<ItkImage> {
  // Loaded when first needed: a study of NIfTI files never pays for it.
  const { InterfaceTypes, runPipelineNode } = await import("itk-wasm");
  const package_ = dirname(createRequire(import.meta.url).resolve("@itk-wasm/image-io"));
  const outputs = [{ type: InterfaceTypes.JsonCompatible }, { type: InterfaceTypes.Image }];
  const inputs = [{ type: InterfaceTypes.BinaryFile, data: { path: name, data: bytes } }];
  const restoreConsole = muteItk();
  try {
    const result = await runPipelineNode(
      join(package_, "pipelines", pipeline),
      [name, "0", "1", "--memory-io"],
      outputs,
      inputs,
    );
    const [couldRead, image] = result.outputs;
    if (result.returnValue !== 0 || couldRead?.data !== true || image === undefined)
      throw badImage(
        path,
        `ITK cannot make an image of it${result.stderr ? `: ${result.stderr.trim()}` : ""}`,
      );
    return image.data as ItkImage;
  } catch (error) {
    // A C++ exception arrives as the number of its address.
    if (typeof error === "number") throw badImage(path, "ITK refuses its header or voxels");
    if (error instanceof Error && /^(RangeError|RuntimeError)$/.test(error.name))
      throw badImage(path, `ITK runs out of memory or stops while reading it (${messageOf(error)})`, error);
    throw error;
  } finally {
    restoreConsole();
  }
}

let muted = 0;
let original: Pick<Console, "log" | "error"> | undefined;

/**
 * The pipeline prints about exceptions on standard output, where a command's JSON document belongs; what it
 * has to say reaches the user through our own error. Only its own lines are dropped.
 */
function muteItk(): () => void {
  const notices = new Set(["Exception while running pipeline:", "stdout:", "stderr:", "exception:"]);
  const isNotice = (first: unknown) =>
    typeof first === "string" && (notices.has(first) || first.startsWith("Build module in Debug mode"));
  if (muted++ === 0) {
    const { log, error } = console;
    original = { log, error };
    console.log = (...values: unknown[]) => {
      if (!isNotice(values[0])) log.apply(console, values);
    };
    console.error = (...values: unknown[]) => {
      if (!isNotice(values[0])) error.apply(console, values);
    };
  }
  return () => {
    if (--muted === 0 && original) Object.assign(console, original);
  };
}
