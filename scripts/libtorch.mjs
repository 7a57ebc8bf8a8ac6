// What the build scripts share: the located LibTorch, fetched first when there is none.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../", import.meta.url));

/** Prints why, and ends with exit status 1. */
export function fail(message) {
  console.error(message);
  process.exit(1);
}

/** The LibTorch to build against; `LIBTORCH` is used as it is or refused, never replaced by a fetched one. */
export async function libTorch() {
  if (!existsSync(new URL("../dist/native/libtorch/fetch.js", import.meta.url))) {
    fail("dist/ is missing. Run first: npm run build:typescript");
  }
  const { locateLibTorch, searchReport } = await import("../dist/native/libtorch.js");
  const { found, tried } = locateLibTorch();
  if (found) return found;
  if (process.env.LIBTORCH) fail(`LibTorch was not found.\n${searchReport(tried)}`);
  const { describeFetch, fetchLibTorch } = await import("../dist/native/libtorch/fetch.js");
  let last = 0;
  const onProgress = (event) => {
    const whole = event.kind !== "download" || event.bytes === event.total;
    if (!whole && Date.now() - last < 5000) return;
    last = Date.now();
    console.error(describeFetch(event));
  };
  return fetchLibTorch({ onProgress }).catch((error) => fail(error.message));
}
