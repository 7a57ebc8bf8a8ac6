import { join } from "node:path";
import { fileURLToPath } from "node:url";

const packageRoot = fileURLToPath(new URL("../../", import.meta.url));
const inShell = (path: string): string =>
  /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;

/**
 * Commands for messages, with absolute paths: they work in a checkout, where the package is installed as a dependency or
 * for all projects, and from every folder.
 */
export const ownCommand = (...words: string[]): string =>
  ["node", inShell(join(packageRoot, "dist", "cli", "main.js")), ...words].join(" ");

/** Builds the addon, for the CPU or with CUDA. */
export const buildCommand = (flavour: "cpu" | "cuda" = "cpu"): string =>
  [
    "node",
    inShell(join(packageRoot, "scripts", "build-native.mjs")),
    ...(flavour === "cuda" ? ["--cuda"] : []),
  ].join(" ");
