// What the build scripts share: the located LibTorch and the CUDA compiler, fetched first when there is none.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../", import.meta.url));

/** Prints why, and ends with exit status 1. */
export function fail(message) {
  console.error(message);
  process.exit(1);
}

/**
 * The LibTorch to build against, with its CUDA part where that is linked too; `LIBTORCH` is used as it is or refused, never
 * replaced by a fetched one.
 */
export async function libTorch({ cuda = false } = {}) {
  if (!existsSync(new URL("../dist/native/libtorch/fetch.js", import.meta.url))) {
    fail("dist/ is missing. Run first: npm run build:typescript");
  }
  const { locateLibTorch, searchReport } = await import("../dist/native/libtorch.js");
  const { found, tried } = locateLibTorch();
  const parts = cuda ? ["cuda"] : [];
  const { lacksParts } = await import("../dist/native/libtorch/fetch.js");
  if (found && !lacksParts(found, parts)) {
    if (cuda && found.cudaLibraries.length === 0) fail(`The LibTorch in ${found.folder} has no CUDA part`);
    return found;
  }
  if (process.env.LIBTORCH) fail(`LibTorch was not found.\n${searchReport(tried)}`);
  return fetched("fetchLibTorch", { parts });
}

/** The folder of a CUDA compiler: `CUDA_HOME`, used as it is or refused, or else the pinned one. */
export async function cudaToolkit() {
  const named = process.env.CUDA_HOME;
  if (!named) return fetched("fetchCudaToolkit");
  if (!existsSync(join(named, "bin", "nvcc"))) fail(`CUDA_HOME=${named} holds no bin/nvcc`);
  return named;
}

/** What one of the fetching functions brings, its progress printed a line every five seconds. */
async function fetched(name, options = {}) {
  const module = await import("../dist/native/libtorch/fetch.js");
  let last = 0;
  const onProgress = (event) => {
    const whole = event.kind !== "download" || event.bytes === event.total;
    if (!whole && Date.now() - last < 5000) return;
    last = Date.now();
    console.error(module.describeFetch(event));
  };
  return module[name]({ ...options, onProgress }).catch((error) => fail(error.message));
}
