// A machine as the package's users have it, for what is tried from the tarball: a PATH of one folder with one Node, the
// package managers and a handful of plain programs; no compiler, no CMake, no make.
import { spawnSync } from "node:child_process";
import { mkdtempSync, realpathSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { fail } from "../libtorch.mjs";

/** What package managers call besides Node. */
const plainPrograms = ["npm", "npx", "sh", "env", "uname", "dirname", "sed", "cat", "tar", "gzip"];

/**
 * Makes such a PATH in a folder of its own in `place`. `others` are programs besides those, by name; `python` adds
 * Python with its pip, by which LibTorch is fetched.
 */
export function plainPath(place, { node = process.execPath, others = {}, python = false } = {}) {
  const folder = mkdtempSync(join(place, "path "));
  const programs = {
    node,
    ...Object.fromEntries(plainPrograms.map((name) => [name, whereIs(name)])),
    ...(python ? { python3: pythonItself() } : {}),
    ...others,
  };
  for (const [name, file] of Object.entries(programs)) symlinkSync(file, join(folder, name));
  return folder;
}

/** Runs a program to its end, and answers what it printed and how many seconds it took. Ends this process where it fails. */
export function timed(program, words, cwd, env) {
  const start = performance.now();
  const { status, signal, stdout, stderr, error } = spawnSync(program, words, {
    cwd,
    env,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  if (status !== 0)
    fail(
      `${program} ${words.join(" ")} failed (${error?.message ?? signal ?? status}):\n${stdout}\n${stderr}`,
    );
  return { stdout, stderr, seconds: Number(((performance.now() - start) / 1000).toFixed(1)) };
}

const whereIs = (name) => realpathSync(answerOf("sh", "-c", `command -v ${name}`));

/** Not the script by which a manager of Pythons chooses one. */
const pythonItself = () => answerOf("python3", "-c", "import sys; print(sys.executable)");

function answerOf(program, ...words) {
  const { status, stdout } = spawnSync(program, words, { encoding: "utf8" });
  if (status !== 0) fail(`${[program, ...words].join(" ")} failed: is it there?`);
  return stdout.trim();
}
