// Fetches the pinned LibTorch into the package's cache, unless one is there. See docs/contributing.md.
import { libTorch } from "./libtorch.mjs";

const { folder, version, flavour } = await libTorch();
console.log(`LibTorch ${version} (${flavour}): ${folder}`);
