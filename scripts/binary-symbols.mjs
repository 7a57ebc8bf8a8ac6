// What a compiled addon asks of the libraries around it, read with binutils' nm and objdump.
import { spawnSync } from "node:child_process";

/** The newest versions that a binary may ask for: glibc 2.28, as LibTorch itself, and the libstdc++ of GCC 8. */
export const newestAllowed = { GLIBC: "2.28", GLIBCXX: "3.4.25", CXXABI: "1.3.11" };

/** The newest version of each system library's symbols that a binary asks for, such as `{ GLIBC: "2.14" }`. */
export function newestAsked(file) {
  const table = run("objdump", "-T", file);
  return Object.fromEntries(
    Object.keys(newestAllowed).map((library) => {
      const versions = [...table.matchAll(new RegExp(`\\b${library}_([0-9.]+)`, "g"))].map(
        ([, found]) => found,
      );
      return [library, versions.sort(order).at(-1) ?? "0"];
    }),
  );
}

/** What a binary asks for that systems of today need not have, in words. */
export const tooNew = (asked) =>
  Object.entries(asked)
    .filter(([library, version]) => order(version, newestAllowed[library]) > 0)
    .map(
      ([library, version]) =>
        `${library}_${version}, but at most ${library}_${newestAllowed[library]} is everywhere`,
    );

/**
 * The symbols, as the compiler writes them, that a binary needs and that neither these libraries define, nor Node, nor the
 * system's libraries that it names. One that may be absent (a weak one) does not count.
 */
export function missingSymbols(file, libraries) {
  const needed = undefinedIn(file);
  for (const library of [...libraries, process.execPath, ...systemLibrariesOf(file)])
    for (const name of definedIn(library)) needed.delete(name);
  return [...needed].sort();
}

/** The same as a person reads them. */
export const readable = (symbols) =>
  spawnSync("c++filt", { input: symbols.join("\n"), encoding: "utf8" })
    .stdout.trim()
    .split("\n");

const undefinedIn = (file) =>
  new Set(
    lines(run("nm", "-D", "--undefined-only", file))
      .filter(([kind]) => kind === "U")
      .map(([, name]) => withoutVersion(name)),
  );

const definedIn = (file) =>
  lines(run("nm", "-D", "--defined-only", file)).map((words) => withoutVersion(words.at(-1)));

/** The files of the libraries that a binary names and that come with the system, as the system's own search finds them. */
function systemLibrariesOf(file) {
  const names = [...run("objdump", "-p", file).matchAll(/NEEDED\s+(\S+)/g)].map(([, name]) => name);
  const known = run("/sbin/ldconfig", "-p").split("\n");
  return names.flatMap((name) => {
    const line = known.find((one) => one.trim().startsWith(`${name} `) && one.includes("x86-64"));
    return line ? [line.split("=> ")[1].trim()] : [];
  });
}

const lines = (text) =>
  text
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((words) => words.length > 1);

const withoutVersion = (name) => name.replace(/@.*/, "");

const order = (a, b) => a.localeCompare(b, "en", { numeric: true });

/** What a program prints. @throws where it is missing or fails */
export function run(program, ...args) {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 2 ** 30 });
  if (status !== 0) throw new Error(`${program} failed: ${stderr || "it is not there"}`);
  return stdout;
}
