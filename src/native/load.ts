import { createRequire } from "node:module";
import { join } from "node:path";
import { messageOf, TransferLimitsError } from "../common/errors.js";
import { buildCommand, ownCommand } from "../common/own-commands.js";
import type { Addon } from "./addon.js";
import { type BinaryFolder, binaryFolders, builtFor, findBinaries } from "./binaries.js";
import { BusyClock } from "./busy-clock.js";
import { binaryName, chooseFlavour, type Flavour } from "./flavour.js";
import { type LibTorch, locateLibTorch, searchReport } from "./libtorch.js";
import { onTrial, tryInChild } from "./trial.js";

const require = createRequire(import.meta.url);

let loaded: Addon | undefined;

/** Runs while this process has native work under way. */
export const nativeWork = new BusyClock();

/**
 * The addon, loaded once: first the little loader opens LibTorch's libraries by absolute path, then the addon
 * itself finds every symbol already there, without rpath or LD_LIBRARY_PATH.
 */
export function addon(): Addon {
  loaded ??= loadAddon();
  return loaded;
}

function loadAddon(): Addon {
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
  const binaries = findBinaries();
  if (!binaries) throw noBinaries();
  const flavour = chooseFlavour(binaries.path);
  const expectedVersion = builtFor(binaries.path, flavour);
  if (expectedVersion !== null && expectedVersion !== found.version)
    throw otherVersion(expectedVersion, found);
  const loader = join(binaries.path, "loader.node");
  const libraries = flavour === "cuda" ? [...found.libraries, ...found.cudaLibraries] : found.libraries;
  const file = join(binaries.path, binaryName(flavour));
  try {
    if (binaries.origin === "prebuilt" && process.env[onTrial] === undefined) {
      const reason = tryInChild([loader, ...libraries, file]);
      if (reason !== null) throw new Error(reason);
    }
    (require(loader) as { open(paths: string[]): void }).open(libraries);
    const native = require(file) as Addon;
    const built = native.buildInfo().libtorch;
    if (built !== found.version) throw otherVersion(built, found);
    return withOwnErrors(native);
  } catch (error) {
    if (error instanceof TransferLimitsError) throw error;
    throw new TransferLimitsError(
      "LIBTORCH_MISSING",
      `The native addon could not be loaded: ${messageOf(error)}\n` +
        `It is ${file} (${origins[binaries.origin]}).\n` +
        `LibTorch ${found.version} (${found.flavour}) was taken from ${found.folder}.\n` +
        `Possible solutions:\n${remedies(flavour).join("\n")}`,
      { cause: error },
    );
  }
}

const origins: Record<BinaryFolder["origin"], string> = {
  built: "built on this machine",
  prebuilt: "it came with the package, for glibc 2.35 and libstdc++ of GCC 12 or newer",
};

const noBinaries = (): TransferLimitsError =>
  new TransferLimitsError(
    "LIBTORCH_MISSING",
    [
      "The native addon was not found.",
      "Tried:",
      ...binaryFolders().map(({ path }) => `  - ${path}: no loader.node and ${binaryName("cpu")}`),
      "Possible solutions:",
      `  - build the addon, for which CMake and a C++20 compiler are needed: ${buildCommand()}`,
      `  - see what is there: ${ownCommand("doctor")}`,
    ].join("\n"),
  );

const otherVersion = (built: string, { version, folder }: LibTorch): TransferLimitsError =>
  new TransferLimitsError(
    "LIBTORCH_MISSING",
    [
      `The addon was built for LibTorch ${built}, but LibTorch ${version} lies in ${folder}.`,
      "Possible solutions:",
      `  - use LibTorch ${built}: set LIBTORCH to its folder, or unset LIBTORCH and TRANSFER_LIMITS_PYTHON_TORCH and ` +
        `fetch it, where it is the pinned one: ${ownCommand("doctor", "--install")}`,
      `  - build the addon for LibTorch ${version}, for which CMake and a C++20 compiler are needed: ${buildCommand()}`,
    ].join("\n"),
  );

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

const remedies = (flavour: Flavour): string[] => [
  ...(flavour === "cuda"
    ? [
        `  - build the CUDA flavour of the addon: ${buildCommand("cuda")}`,
        "  - take the torch of a Python, beside which cuBLAS and cuDNN lie: TRANSFER_LIMITS_PYTHON_TORCH=python3",
        "  - do without CUDA: TRANSFER_LIMITS_FLAVOUR=cpu",
      ]
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
