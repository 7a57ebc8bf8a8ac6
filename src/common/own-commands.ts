import { realpathSync } from "node:fs";
import { delimiter, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const packageRoot = fileURLToPath(new URL("../../", import.meta.url));
const program = join(packageRoot, "dist", "cli", "main.js");
const builder = join(packageRoot, "scripts", "build-native.mjs");
/** What npm calls the program where the package is installed. */
const installedAs = "transfer-limits";

/**
 * A call of this program, for messages and help: one that works in the working folder, where whoever reads it typed the
 * call that it answers. `npx transfer-limits` where a project has the package installed, `transfer-limits` where all
 * projects do, and otherwise, as in a checkout, Node with the program's path.
 */
export const ownCommand = (...words: string[]): string =>
  [callFrom(workingFolder()), ...words.map(wordInShell)].join(" ");

/** The call that this process was started by, to be made once more. */
export const sameCommand = (): string => ownCommand(...process.argv.slice(2));

/** The words that start this program from any folder: for scripts that run later, and on other machines. */
export const ownProgram = (): string[] => [process.execPath, program];

/** Builds the addon, for the CPU or with CUDA. */
export const buildCommand = (flavour: "cpu" | "cuda" = "cpu"): string =>
  [nodeCall(builder, workingFolder()), ...(flavour === "cuda" ? ["--cuda"] : [])].join(" ");

function callFrom(folder: string | null): string {
  if (folder !== null && programOfProject(folder) === program) return `npx ${installedAs}`;
  if (programOnPath() === program) return installedAs;
  return nodeCall(program, folder);
}

const nodeCall = (file: string, folder: string | null): string =>
  `node ${wordInShell(shortest(file, folder))}`;

/** The path from the folder, for files inside it; otherwise the absolute one. */
function shortest(file: string, folder: string | null): string {
  const way = folder === null ? "" : relative(folder, file);
  return way === "" || way.startsWith("..") ? file : way;
}

/** What `npx` starts by our name in a folder, without asking the network: the program of the nearest project around it. */
function programOfProject(folder: string): string | null {
  const found = target(join(folder, "node_modules", ".bin", installedAs));
  const above = dirname(folder);
  return found ?? (above === folder ? null : programOfProject(above));
}

/** What a shell starts by our name. `npx` and `npm run` put projects' folders into PATH, which a shell hasn't. */
function programOnPath(): string | null {
  const folders = (process.env.PATH ?? "").split(delimiter);
  for (const folder of folders.filter((one) => one !== "" && !one.endsWith(join("node_modules", ".bin")))) {
    const found = target(join(folder, installedAs));
    if (found !== null) return found;
  }
  return null;
}

/** The file that a path leads to; null where there is none. */
function target(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

/** Null where the working folder was removed. */
function workingFolder(): string | null {
  try {
    return process.cwd();
  } catch {
    return null;
  }
}

/** A word as a shell takes it for that word. */
export const wordInShell = (word: string): string =>
  /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
