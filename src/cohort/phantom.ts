import { mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { requireCallback, requireOptions, requirePath, requireSignal } from "../common/arguments.js";
import { writeFileAtomically } from "../common/atomic-file.js";
import { expected, throwIfAborted } from "../common/errors.js";
import { type RandomStream, randomStream, seedFor } from "../common/random.js";
import { codedError } from "../common/system-errors.js";
import type { Tensor } from "../native/tensor.js";
import { type PhantomGrid, type PhantomScene, renderPhantom } from "../native/volumes.js";
import { niftiFile } from "./formats/nifti-file.js";
import { centredAffine, type Triple } from "./geometry.js";
import { drawAnatomy, lesionOf, type PhantomAnatomy, phantomLabels, zoneOf } from "./phantom-anatomy.js";
import { substances } from "./phantom-substances.js";

const compress = promisify(gzip);

/** Stored intensities are the signals, relative to water's proton density, times this: whole numbers, as scanners give. */
const intensityScale = 4000;

/** As much of the patient as a T2W slice shows, and all slices together, in mm. */
const inPlane = 108;
const headFoot = 72;

export interface PhantomPatient {
  anatomy: PhantomAnatomy;
  scene: PhantomScene;
  /** From the phantom's frame to the scanner's, in mm. */
  shift: Triple;
}

/**
 * Draws one patient and how he was scanned: oblique T2W; coarser diffusion, tilted otherwise and off centre.
 *
 * @param voxels [height, width, depth] of T2W
 */
export function drawPatient(seed: number, patient: number, voxels: Triple = [64, 64, 24]): PhantomPatient {
  const anatomy = drawAnatomy(seed, patient);
  const stream = randomStream(seed, "phantom", patient, "scan");
  const [height, width, depth] = voxels;
  const pixel = (inPlane * stream.between(0.95, 1.05)) / Math.max(height, width);
  const slice = (headFoot * stream.between(0.96, 1.04)) / depth;
  const off = (spread: number): Triple => [
    stream.normal(0, spread),
    stream.normal(0, spread),
    stream.normal(0, spread),
  ];
  // Axial oblique, perpendicular to the rectal wall; the patient never lies quite straight.
  const t2w = grid([depth, height, width], [slice, pixel, pixel], off(2), tilt(stream, [9, 2.5, 3]));
  const coarser = 1.6;
  const wider = 1.3;
  const less = (size: number) => Math.max(8, Math.round((size * wider) / coarser));
  const diffusion = grid(
    [Math.max(6, Math.round(depth * 1.1)), less(height), less(width)],
    [slice * 1.15, pixel * coarser, pixel * coarser],
    off(2.5),
    tilt(stream, [4, 1.5, 1.5]),
  );
  const { fat } = substances;
  const scene: PhantomScene = {
    background: fat,
    tissues: [
      { label: 0, centre: [0, 0, 0], radii: [1000, 1000, 1000], rotation: 0, ...fat },
      ...anatomy.tissues,
    ],
    t2w: { grid: t2w, echoMilliseconds: 100 },
    diffusion: { grid: diffusion, echoMilliseconds: 70, highB: 1400 },
    noise: stream.between(0.008, 0.014),
    biasField: stream.between(0.08, 0.22),
    seed: seedFor(seed, "phantom", patient, "noise"),
  };
  return { anatomy, scene, shift: [stream.normal(0, 8), stream.normal(0, 25), stream.normal(0, 40)] };
}

/** Turns about x, y and z, drawn up to these angles in degrees either way. */
const tilt = (stream: RandomStream, most: Triple): Triple =>
  most.map((angle) => (stream.between(-angle, angle) * Math.PI) / 180) as unknown as Triple;

/** A grid around `centre` whose axes k, j, i point to the head, the back and the left before it is turned. */
function grid(shape: Triple, spacing: Triple, centre: Triple, [a, b, c]: Triple): PhantomGrid {
  const turned = ([x, y, z]: Triple): Triple => {
    [y, z] = [y * Math.cos(a) - z * Math.sin(a), y * Math.sin(a) + z * Math.cos(a)];
    [x, z] = [x * Math.cos(b) + z * Math.sin(b), z * Math.cos(b) - x * Math.sin(b)];
    return [x * Math.cos(c) - y * Math.sin(c), x * Math.sin(c) + y * Math.cos(c), z];
  };
  const steps = [turned([0, 0, spacing[0]]), turned([0, spacing[1], 0]), turned([spacing[2], 0, 0])];
  const affine = centredAffine(shape, steps, centre);
  return { shape: [...shape], spacing: [...spacing], voxelToPatient: affine.slice(0, 12) };
}

/** Some 500 KB each: more is a slip of the keyboard. */
const mostCases = 1_000_000;

/** A cohort of phantoms: how many, how large, and from which seed. */
export interface PhantomCohortOptions {
  /** How many patients, with one case each. */
  cases: number;
  /** A whole number: the same one gives the same voxels. */
  seed: number;
  /** [height, width, depth] of T2W. Default 64 x 64 x 24; each from 8 to 1024. */
  voxels?: readonly [height: number, width: number, depth: number];
  /** What the cases' names begin with: up to 41 letters, digits, `-` and `_`. Default "phantom". */
  prefix?: string;
  /** Stops the work between two cases. */
  signal?: AbortSignal;
  /** Called after each case. */
  onCase?: (event: { done: number; total: number; case: string }) => void;
}

/**
 * Writes a cohort of phantoms: a folder a case with T2W, ADC and high-b images and the masks of gland, zones (1
 * peripheral, 2 transition), lesions (numbered from 1; empty where there is none) and rectum as NIfTI, and
 * `manifest.csv`. The same seed gives the same voxels; a patient depends on the seed and his
 * number only, not on how many there are.
 *
 * @returns the path of the manifest
 * @throws `BAD_INPUT` for an impossible option, `ABORTED` when `signal` was aborted
 */
export async function writePhantomCohort(folder: string, options: PhantomCohortOptions): Promise<string> {
  requirePath(folder, "folder");
  requireOptions(options);
  const { cases, seed, voxels = [64, 64, 24], prefix = "phantom", signal, onCase } = options;
  requireSignal(signal);
  requireCallback(onCase, "onCase");
  if (!Number.isSafeInteger(cases) || cases < 1 || cases > mostCases)
    throw expected(`a whole number from 1 to ${mostCases}`, "cases", cases);
  if (!Number.isSafeInteger(seed)) throw expected("a whole number", "seed", seed);
  if (
    !Array.isArray(voxels) ||
    voxels.length !== 3 ||
    !voxels.every((size) => Number.isSafeInteger(size) && size >= 8 && size <= 1024)
  )
    throw expected("three whole numbers from 8 to 1024", "voxels", voxels);
  if (typeof prefix !== "string" || !/^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$/.test(prefix))
    throw expected("a name of letters, digits, - and _", "prefix", prefix);

  // A folder with a manifest holds all that the manifest names: it goes first and comes last.
  const manifest = join(resolve(folder), "manifest.csv");
  await rm(manifest, { force: true });
  const rows = ["case,patient,t2w,adc,hbv,gland,zones,lesion,rectum,pirads"];
  const digits = Math.max(3, String(cases).length);
  let done = 0;
  const write = async (patient: number): Promise<void> => {
    throwIfAborted(signal);
    const name = `${prefix}-${String(patient + 1).padStart(digits, "0")}`;
    const drawn = drawPatient(seed, patient, voxels);
    const files = await writeCase(join(folder, name), drawn);
    rows[patient + 1] = [name, name, ...files.map((file) => `${name}/${file}`), drawn.anatomy.pirads].join(
      ",",
    );
    done++;
    onCase?.({ done, total: cases, case: name });
  };
  // Two at a time: one is rendered while the other is written.
  let next = 0;
  const worker = async () => {
    while (next < cases) await write(next++);
  };
  const results = await Promise.allSettled([worker(), worker()]);
  for (const result of results) if (result.status === "rejected") throw codedError(result.reason);

  await writeFileAtomically(manifest, `${rows.join("\n")}\n`);
  return manifest;
}

/** Writes one case and resolves to its files' names, in the order of the manifest's columns. */
async function writeCase(folder: string, { scene, shift }: PhantomPatient): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const { t2w, adc, hbv, labels } = await renderPhantom(scene);
  try {
    const [t2wGrid, diffusionGrid] = [scene.t2w.grid, scene.diffusion.grid];
    const label = await voxelsOf(labels);
    const mask = (value: (label: number) => number) => mapInto(new Uint8Array(label.length), label, value);
    const volumes: [string, PhantomGrid, Int16Array | Uint8Array][] = [
      ["t2w", t2wGrid, toIntegers(await voxelsOf(t2w), intensityScale)],
      ["adc", diffusionGrid, toIntegers(await voxelsOf(adc), 1)],
      ["hbv", diffusionGrid, toIntegers(await voxelsOf(hbv), intensityScale)],
      ["gland", t2wGrid, mask((value) => (zoneOf(value) > 0 ? 1 : 0))],
      ["zones", t2wGrid, mask(zoneOf)],
      ["lesion", t2wGrid, mask(lesionOf)],
      ["rectum", t2wGrid, mask((value) => (value === phantomLabels.rectum ? 1 : 0))],
    ];
    await Promise.all(
      volumes.map(([name, grid, voxels]) => writeNifti(join(folder, `${name}.nii.gz`), grid, shift, voxels)),
    );
    return volumes.map(([name]) => `${name}.nii.gz`);
  } finally {
    for (const tensor of [t2w, adc, hbv, labels]) tensor.dispose();
  }
}

const voxelsOf = async (tensor: Tensor): Promise<Float32Array> => (await tensor.toArray()) as Float32Array;

/** As `TypedArray.from(values, map)`, which takes twenty times as long. */
function mapInto<T extends Int16Array | Uint8Array>(
  target: T,
  values: Float32Array,
  map: (value: number) => number,
): T {
  for (let voxel = 0; voxel < target.length; voxel++) target[voxel] = map(values[voxel] as number);
  return target;
}

const toIntegers = (signal: Float32Array, scale: number): Int16Array =>
  mapInto(new Int16Array(signal.length), signal, (value) => Math.min(32767, Math.round(value * scale)));

/** Writes a volume as NIfTI, compressed in another thread while the next one is being written. */
async function writeNifti(path: string, grid: PhantomGrid, shift: Triple, data: Int16Array | Uint8Array) {
  // The last column is the middle of the first voxel.
  const placed = grid.voxelToPatient.map((value, entry) =>
    entry % 4 === 3 ? value + (shift[(entry - 3) / 4] as number) : value,
  );
  await writeFile(path, await compress(niftiFile(grid.shape, placed, data)));
}
