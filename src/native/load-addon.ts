import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { messageOf, TransferLimitsError } from "../common/errors.js";
import { buildCommand, ownCommand } from "../common/own-commands.js";
import type { Addon } from "./addon.js";
import {
  type BinaryFolder,
  binaryPlaces,
  builtFor,
  findBinaries,
  serves,
  versionsServed,
} from "./binaries.js";
import { BusyClock } from "./busy-clock.js";
import { binaryName, chooseFlavour, type Flavour } from "./flavour.js";
import { fetchedFolder, readLock } from "./libtorch/lock.js";
import { faultOfLibrary } from "./libtorch/shared-library.js";
import { type LibTorch, locateLibTorch, searchReport } from "./libtorch.js";
import { onTrial, tryInChild } from "./trial.js";

const require = createRequire(import.meta.url);

let loaded: { addon: Addon; file: string } | undefined;

/** Runs while this process has native work under way. */
export const nativeWork = new BusyClock();

/**
 * The addon, loaded once: first the little loader opens LibTorch's libraries by absolute path, then the addon
 * itself finds every symbol already there, without rpath or LD_LIBRARY_PATH.
 */
export function addon(): Addon {
  loaded ??= loadAddon();
  return loaded.addon;
}

/** The file of the addon that `addon` loads. */
export function addonFile(): string {
  loaded ??= loadAddon();
  return loaded.file;
}

function loadAddon(): { addon: Addon; file: string } {
  const { found, tried } = locateLibTorch();
  if (!found) {
    throw new TransferLimitsError("LIBTORCH_MISSING", `LibTorch was not found.\n${searchReport(tried)}`);
  }
  // OpenMP's threads wait asleep rather than spinning: beside other work on the same cores, spinning makes every
  // operation many times slower. It changes no number. libgomp reads this when it is opened.
  process.env.OMP_WAIT_POLICY ??= "PASSIVE";
  // Large tensors take memory in pages of 2 MB where the system has them: small ones, each to be cleared when it is first
  // touched, cost more time than filling them.
  process.env.THP_MEM_ALLOC_ENABLE ??= "1";
  const binaries = findBinaries(found.version);
  if (!binaries) throw noBinaries();
  const flavour = chooseFlavour(binaries.path, found);
  const file = join(binaries.path, binaryName(flavour));
  if (!existsSync(file)) throw noCudaAddon(file);
  if (flavour === "cuda" && found.cudaLibraries.length === 0) throw noCudaPart(found);
  const expectedVersion = builtFor(binaries.path, flavour);
  if (expectedVersion !== null && !serves(expectedVersion, found.version))
    throw otherVersion(expectedVersion, found);
  const loader = join(binaries.path, "loader.node");
  const libraries = flavour === "cuda" ? [...found.libraries, ...found.cudaLibraries] : found.libraries;
  try {
    for (const path of [loader, ...libraries, file]) {
      const fault = faultOfLibrary(path);
      if (fault !== null) throw new Error(`${path} ${fault}`);
    }
    if (process.env[onTrial] === undefined) {
      const reason = tryInChild([loader, ...libraries, file]);
      if (reason !== null) throw new Error([reason, ...damagedIn(join(found.folder, "lib"))].join("\n"));
    }
    (require(loader) as { open(paths: string[]): void }).open(libraries);
    const native = require(file) as Addon;
    const built = native.buildInfo().libtorch;
    if (!serves(built, found.version)) throw otherVersion(built, found);
    return { addon: withOwnErrors(native), file };
  } catch (error) {
    if (error instanceof TransferLimitsError) throw error;
    throw new TransferLimitsError(
      "LIBTORCH_MISSING",
      `The native addon could not be loaded: ${messageOf(error)}\n` +
        `It is ${file} (${origins[binaries.origin]}).\n` +
        `LibTorch ${found.version} (${found.flavour}) was taken from ${found.folder}.\n` +
        `Possible solutions:\n${remedies(flavour, found).join("\n")}`,
      { cause: error },
    );
  }
}

/** What is wrong with the libraries of a folder, a line for each with a fault: those that others bring along are seen too. */
const damagedIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => /\.so[.\d]*$/.test(name))
    .flatMap((name) => {
      const fault = faultOfLibrary(join(folder, name));
      return fault === null ? [] : [`${join(folder, name)} ${fault}`];
    });

const origins: Record<BinaryFolder["origin"], string> = {
  built: "built on this machine",
  prebuilt: "it came with the package, for glibc 2.28 and libstdc++ of GCC 8 or newer",
};

const noBinaries = (): TransferLimitsError =>
  new TransferLimitsError(
    "LIBTORCH_MISSING",
    [
      "The native addon was not found.",
      "Tried:",
      ...binaryPlaces().map((path) => `  - ${path}: no loader.node and ${binaryName("cpu")}`),
      "Possible solutions:",
      `  - build the addon, for which CMake and a C++20 compiler are needed: ${buildCommand()}`,
      `  - see what is there: ${ownCommand("doctor")}`,
    ].join("\n"),
  );

const otherVersion = (built: string, { version, folder }: LibTorch): TransferLimitsError => {
  const served = versionsServed();
  const pinned = readLock().version;
  return new TransferLimitsError(
    "LIBTORCH_MISSING",
    [
      `The addon was built for LibTorch ${built}, but LibTorch ${version} lies in ${folder}.`,
      ...(served.length > 1 ? [`There are binaries for LibTorch ${served.join(", ")}.`] : []),
      "Possible solutions:",
      `  - use LibTorch ${built}: set LIBTORCH to its folder` +
        (served.some((one) => serves(one, pinned))
          ? `, or unset LIBTORCH and TRANSFER_LIMITS_PYTHON_TORCH and fetch ${pinned}: ${ownCommand("doctor", "--install")}`
          : ""),
      `  - build the addon for LibTorch ${version}, for which CMake and a C++20 compiler are needed: ${buildCommand()}`,
    ].join("\n"),
  );
};

const noCudaAddon = (file: string): TransferLimitsError =>
  new TransferLimitsError(
    "LIBTORCH_MISSING",
    [
      `TRANSFER_LIMITS_FLAVOUR asks for CUDA, but the addon's CUDA flavour was not found: there is no ${file}.`,
      "Possible solutions:",
      `  - build it, for which CMake and a C++20 compiler are needed, and no GPU: ${buildCommand("cuda")}`,
      "  - do without CUDA: TRANSFER_LIMITS_FLAVOUR=cpu",
    ].join("\n"),
  );

const noCudaPart = ({ version, folder }: LibTorch): TransferLimitsError =>
  new TransferLimitsError(
    "LIBTORCH_MISSING",
    [
      "TRANSFER_LIMITS_FLAVOUR asks for CUDA, but the LibTorch that was found has no CUDA part: neither libc10_cuda.so " +
        `nor libtorch_cuda.so lies in ${join(folder, "lib")} (LibTorch ${version}).`,
      "Possible solutions:",
      ...withCuda(),
    ].join("\n"),
  );

/** Ways to a LibTorch whose CUDA part can be loaded, and a way without. */
const withCuda = (): string[] => [
  `  - fetch LibTorch with CUDA's libraries into the package's cache (3 GB): ${ownCommand("doctor", "--install", "--cuda")}`,
  "  - take the torch of a Python, beside which cuBLAS and cuDNN lie: TRANSFER_LIMITS_PYTHON_TORCH=python3",
  "  - do without CUDA: TRANSFER_LIMITS_FLAVOUR=cpu",
];

/** The addon, whose functions throw errors of this package also where they refuse before there is a promise. */
const withOwnErrors = (native: Addon): Addon =>
  Object.fromEntries(
    Object.entries(native).map(([name, work]: [string, unknown]) => [
      name,
      typeof work !== "function"
        ? work
        : (...given: unknown[]) => {
            try {
              return work(...given);
            } catch (error) {
              throw nativeError(error);
            }
          },
    ]),
  ) as unknown as Addon;

const remedies = (flavour: Flavour, { folder }: LibTorch): string[] => [
  ...(folder === fetchedFolder(readLock())
    ? [
        `  - fetch again what is missing or damaged in the package's cache: ${ownCommand("doctor", "--install")}`,
      ]
    : []),
  ...(flavour === "cuda"
    ? [...withCuda(), `  - build the CUDA flavour of the addon: ${buildCommand("cuda")}`]
    : [`  - build the addon: ${buildCommand()}`]),
  `  - see what is there: ${ownCommand("doctor")}`,
];

/**
 * Awaits a native promise and turns what it rejects with into a `TransferLimitsError` with the native code, whose
 * stack leads back to the JavaScript that asked for the work.
 */
export async function settle<T>(work: Promise<T>): Promise<T> {
  try {
    return await nativeWork.during(work);
  } catch (error) {
    throw nativeError(error);
  }
}

/** As `settle`, for a call that answers at once. */
export function call<T>(work: () => T): T {
  try {
    return nativeWork.within(work);
  } catch (error) {
    throw nativeError(error);
  }
}

function nativeError(error: unknown): unknown {
  const code = (error as { code?: unknown } | null)?.code;
  if (!(error instanceof Error) || typeof code !== "string" || error instanceof TransferLimitsError)
    return error;
  return new TransferLimitsError(code as TransferLimitsError["code"], error.message, { cause: error });
}
