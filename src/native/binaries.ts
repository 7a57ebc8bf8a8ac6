import { existsSync, readdirSync, readFileSync } from "node:fs";
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

/** Where the binaries lie that come with the package: a folder for each version of LibTorch, such as `torch-2.14`. */
const prebuildsIn = (root: string): string => join(root, "prebuilds", `${process.platform}-${process.arch}`);

/** Where the addon and its loader are looked for, in this order: what was built here is wanted here. */
export function binaryFolders(root: string = packageRoot): BinaryFolder[] {
  const prebuilds = prebuildsIn(root);
  const names = existsSync(prebuilds) ? readdirSync(prebuilds) : [];
  const versions = names.filter((name) => name.startsWith("torch-")).sort(byVersion);
  return [
    { path: join(root, "build", "Release"), origin: "built" },
    ...versions.map((name): BinaryFolder => ({ path: join(prebuilds, name), origin: "prebuilt" })),
  ];
}

/** The same in words, for messages; also where nothing came with the package. */
export const binaryPlaces = (root: string = packageRoot): string[] => [
  join(root, "build", "Release"),
  join(prebuildsIn(root), "torch-*"),
];

/** The folders that hold a loader and the addon for the CPU. */
const completeFolders = (root: string): BinaryFolder[] =>
  binaryFolders(root).filter(({ path }) =>
    ["loader.node", binaryName("cpu")].every((name) => existsSync(join(path, name))),
  );

/**
 * The first folder with binaries for this version of LibTorch; else, or where no version is given, the first with
 * binaries for any; null where there are none.
 */
export function findBinaries(
  libtorch: string | null = null,
  root: string = packageRoot,
): BinaryFolder | null {
  const folders = completeFolders(root);
  const fitting = folders.find(({ path }) => {
    const version = builtFor(path, "cpu");
    return libtorch === null || version === null || serves(version, libtorch);
  });
  return fitting ?? folders[0] ?? null;
}

/** The versions of LibTorch for which binaries are there, as their builds noted them. */
export const versionsServed = (root: string = packageRoot): string[] => [
  ...new Set(completeFolders(root).flatMap(({ path }) => builtFor(path, "cpu") ?? [])),
];

/**
 * Whether a binary that was built for one version of LibTorch can be loaded beside another. Releases that differ in the
 * last number alone have the same symbols and the same headers; others have not (docs/contributing.md says what was
 * measured).
 */
export const serves = (builtFor: string, libtorch: string): boolean => minor(builtFor) === minor(libtorch);

const minor = (version: string): string => version.split(".").slice(0, 2).join(".");

const byVersion = (a: string, b: string): number => a.localeCompare(b, "en", { numeric: true });

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
