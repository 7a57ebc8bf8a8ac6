import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { messageOf } from "../common/errors.js";
import { ownCommand } from "../common/own-commands.js";
import { readRegularFileSync } from "../common/regular-file.js";
import { serves, versionsServed } from "./binaries.js";
import { fetchedFolder, lockOf, readLock } from "./libtorch/lock.js";
import { faultOfLibrary } from "./libtorch/shared-library.js";

/** A LibTorch on this machine. */
export interface LibTorch {
  /** Absolute; holds `lib/` and `include/`. */
  folder: string;
  /** Such as `2.14.1`, without the build's local tag. */
  version: string;
  /** The build's local tag, such as `cu130` or `cpu`; `cuda` when it says only that it knows CUDA. */
  flavour: string;
  /** What the loader opens, absolute, in this order. */
  libraries: string[];
  /** What it opens after these for the CUDA flavour of the addon; empty in a LibTorch for the CPU. */
  cudaLibraries: string[];
}

/** One place where LibTorch was looked for, and what came of it. */
export interface Attempt {
  place: string;
  outcome: string;
}

/** The versions that the source is known to build against, as [major, minor]. */
const oldest = [2, 11] as const;
const newest = [2, 15] as const;

/**
 * Looks for LibTorch, without network: in `LIBTORCH`; in the package's own cache; and in the torch of the Python that
 * `TRANSFER_LIMITS_PYTHON_TORCH` names (`1` for `python3`, or a path). Where that is not set, `python3` is asked too, but
 * its torch is taken only where a binary for its version is there; `0` leaves it alone.
 *
 * `LIBTORCH` is an order, not a hint: when the folder that it names cannot be used, the search ends there.
 */
export function locateLibTorch(environment: NodeJS.ProcessEnv = process.env): {
  found: LibTorch | null;
  tried: Attempt[];
} {
  const tried: Attempt[] = [];
  const attempt = (place: string, folder: string): LibTorch | null => {
    const result = examine(folder, environment);
    tried.push({ place, outcome: typeof result === "string" ? result : `found LibTorch ${result.version}` });
    return typeof result === "string" ? null : result;
  };

  if (environment.LIBTORCH) {
    const folder = resolve(environment.LIBTORCH);
    return { found: attempt(`LIBTORCH=${environment.LIBTORCH}`, folder), tried };
  }
  tried.push({ place: "LIBTORCH", outcome: "the environment variable is not set" });

  const cached = fetchedFolder(readLock(), environment);
  const found = attempt(cached, cached);
  if (found) return { found, tried };

  const wish = environment.TRANSFER_LIMITS_PYTHON_TORCH;
  if (wish === "0") {
    tried.push({
      place: "the torch of a Python",
      outcome: "not wanted (TRANSFER_LIMITS_PYTHON_TORCH is 0)",
    });
    return { found: null, tried };
  }
  const python = wish && wish !== "1" ? wish : "python3";
  const answer = folderOfPythonTorch(python, environment);
  if ("reason" in answer) {
    tried.push({ place: `the torch of ${python}`, outcome: answer.reason });
    return { found: null, tried };
  }
  const ofPython = attempt(`the torch of ${python}: ${answer.folder}`, answer.folder);
  const { version } = ofPython ?? {};
  if (wish || version === undefined || versionsServed().some((built) => serves(built, version)))
    return { found: ofPython, tried };
  // Nobody asked for it: it is taken only where a binary is there that can be loaded beside it.
  tried.splice(-1, 1, {
    place: `the torch of ${python}: ${answer.folder}`,
    outcome: `there is no binary for LibTorch ${version}; TRANSFER_LIMITS_PYTHON_TORCH=1 builds one for it`,
  });
  return { found: null, tried };
}

/** Every place that was tried, and the ways to mend it, for an error message. */
export function searchReport(tried: readonly Attempt[]): string {
  const { version, wheels } = lockOf(readLock(), []);
  const served = versionsServed();
  const megabytes = Math.round(wheels.reduce((sum, wheel) => sum + wheel.bytes, 0) / 1e6);
  return [
    "Tried:",
    ...tried.map(({ place, outcome }) => `  - ${place}: ${outcome}`),
    "Possible solutions:",
    `  - fetch LibTorch ${version} into the package's cache with pip (${megabytes} MB, once): ` +
      ownCommand("doctor", "--install"),
    `  - set LIBTORCH to an unpacked LibTorch, a folder with lib/ and include/, of version ${oldest.join(".")} to ${newest.join(".")}` +
      (served.length > 0
        ? ` (there are binaries for ${served.join(", ")}; build the addon again for another)`
        : ""),
    "  - set TRANSFER_LIMITS_PYTHON_TORCH=1 (or to the path of a Python) to use the torch that Python has installed",
  ].join("\n");
}

/** The LibTorch in `folder`, or in words why there is none that can be used. */
function examine(folder: string, environment: NodeJS.ProcessEnv): LibTorch | string {
  const library = join(folder, "lib");
  if (!existsSync(folder)) return "no such folder";
  for (const needed of [
    "lib/libtorch_cpu.so",
    "lib/libc10.so",
    "include/torch/csrc/api/include/torch/torch.h",
  ]) {
    if (!existsSync(join(folder, needed))) return `not a LibTorch folder: ${needed} is missing`;
    const fault = needed.endsWith(".so") ? faultOfLibrary(join(folder, needed)) : null;
    if (fault !== null) return `${needed} ${fault}`;
  }
  const version = versionOf(folder);
  if (!version)
    return "its version can be read neither from include/torch/headeronly/version.h nor from build-version";
  const [major = 0, minor = 0] = version.number.split(".").map(Number);
  const rank = major * 1000 + minor;
  if (rank < oldest[0] * 1000 + oldest[1] || rank > newest[0] * 1000 + newest[1]) {
    return `LibTorch ${version.number} is not between ${oldest.join(".")} and ${newest.join(".")}`;
  }
  return {
    folder,
    version: version.number,
    flavour: version.tag ?? (existsSync(join(library, "libtorch_cuda.so")) ? "cuda" : "cpu"),
    libraries: [
      ...companions(folder, environment),
      join(library, "libc10.so"),
      join(library, "libtorch_cpu.so"),
    ],
    cudaLibraries: ["libc10_cuda.so", "libtorch_cuda.so"]
      .map((name) => join(library, name))
      .filter((path) => existsSync(path)),
  };
}

/**
 * The CUDA runtime libraries that `libtorch_cpu.so` of a CUDA build refers to, even where no GPU is used, and
 * libdeflate, by which compressed images are read faster. They lie beside LibTorch in the package's cache, and the
 * former in the neighbouring `nvidia` packages in a Python. One that is nowhere is left out: the system's own search
 * path may still have CUDA's, and Node can decompress too.
 */
function companions(folder: string, environment: NodeJS.ProcessEnv): string[] {
  const cuda = existsSync(join(folder, "lib", "libtorch_cuda.so"));
  const nvidia = join(folder, "..", "nvidia");
  const places = [
    join(folder, "lib"),
    join(nvidia, "cu13", "lib"),
    join(nvidia, "cuda_runtime", "lib"),
    join(nvidia, "cuda_cupti", "lib"),
    join(fetchedFolder(readLock(), environment), "lib"),
  ];
  const names = cuda ? ["cudart", "cupti", "deflate"] : ["deflate"];
  return names.flatMap((name) => {
    const pattern = new RegExp(`^lib${name}(-[0-9a-f]+)?\\.so\\.\\d+$`);
    for (const place of places) {
      const file = filesIn(place).find((candidate) => pattern.test(candidate));
      if (file) return [join(place, file)];
    }
    return [];
  });
}

/** A build says its version in its headers, and its flavour in `build-version` (an archive) or `version.py` (a wheel). */
function versionOf(folder: string): { number: string; tag: string | null } | null {
  const written =
    textOf(join(folder, "build-version"))?.trim() ??
    /^__version__ = ['"]([^'"]+)['"]/m.exec(textOf(join(folder, "version.py")) ?? "")?.[1];
  const tag = written?.split("+")[1] ?? null;
  for (const header of ["torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"]) {
    const text = textOf(join(folder, "include", header)) ?? "";
    const parts = ["MAJOR", "MINOR", "PATCH"].map(
      (part) => new RegExp(`^#define TORCH_VERSION_${part} (\\d+)`, "m").exec(text)?.[1],
    );
    if (parts.every((part) => part !== undefined)) return { number: parts.join("."), tag };
  }
  const number = /^\d+\.\d+\.\d+/.exec(written ?? "")?.[0];
  return number ? { number, tag } : null;
}

function folderOfPythonTorch(
  python: string,
  env: NodeJS.ProcessEnv,
): { folder: string } | { reason: string } {
  const script =
    "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";
  try {
    const folder = execFileSync(python, ["-c", script], {
      env,
      encoding: "utf8",
      timeout: 30_000,
      stdio: "pipe",
    }).trim();
    return isAbsolute(folder) ? { folder } : { reason: "this Python has no torch" };
  } catch (error) {
    return { reason: `it could not be asked: ${messageOf(error).split("\n")[0]}` };
  }
}

function textOf(path: string): string | undefined {
  try {
    return readRegularFileSync(path).toString("utf8");
  } catch {
    return undefined;
  }
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
