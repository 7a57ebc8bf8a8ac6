import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { binaryName, type Flavour } from "./flavour.js";

const packageRoot = fileURLToPath(new URL("../../", import.meta.url));

/** A folder with compiled addons, and where they come from. */
export interface BinaryFolder {
  path: string;
  /** `built`: on this machine, by `scripts/build-native.mjs`; `prebuilt`: it came with the package. */
  origin: "built" | "prebuilt";
}

/** Where the addon and its loader are looked for, in this order: what was built here is wanted here. */
export const binaryFolders = (root: string = packageRoot): BinaryFolder[] => [
  { path: join(root, "build", "Release"), origin: "built" },
  { path: join(root, "prebuilds", `${process.platform}-${process.arch}`), origin: "prebuilt" },
];

/** The first folder that holds a loader and the addon for the CPU; null where none does. */
export function findBinaries(root: string = packageRoot): BinaryFolder | null {
  return (
    binaryFolders(root).find(({ path }) =>
      ["loader.node", binaryName("cpu")].every((name) => existsSync(join(path, name))),
    ) ?? null
  );
}

const noteSchema = z.object({ libtorch: z.record(z.string(), z.string()) });

/** Which LibTorch an addon was built for, as the build noted beside it; null where it noted nothing that can be read. */
export function builtFor(folder: string, flavour: Flavour): string | null {
  try {
    const note = noteSchema.parse(JSON.parse(readFileSync(join(folder, "built-for.json"), "utf8")));
    return note.libtorch[binaryName(flavour)] ?? null;
  } catch {
    return null;
  }
}
