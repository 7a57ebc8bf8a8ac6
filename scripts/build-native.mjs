// Builds the native addon and its loader into build/Release, against the LibTorch that is there, or is fetched first.
// With --cuda also its CUDA flavour, by the CUDA compiler in CUDA_HOME or else the pinned one, fetched through pip, and
// the programs in build/checks that check and time the kernels without Node, but for --addon-only. No GPU is needed to build.
// cmake-js takes the Node-API headers from node-api-headers (package.json: binary.napi_versions): it downloads nothing.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { cudaToolkit, fail, libTorch, root } from "./libtorch.mjs";

for (const [program, remedy] of [
  ["cmake", "Install CMake 3.22 or newer (Debian and Ubuntu: apt-get install cmake)."],
  [
    process.env.CXX || "g++",
    "Install a C++20 compiler (Debian and Ubuntu: apt-get install g++ make), or set CXX.",
  ],
]) {
  if (spawnSync(program, ["--version"]).status !== 0) fail(`${program} is missing. ${remedy}`);
}

const cuda = process.argv.includes("--cuda");
const checks = cuda && !process.argv.includes("--addon-only");
const torch = await libTorch({ cuda });
const toolkit = cuda ? await cudaToolkit() : "OFF";
console.error(`Building against LibTorch ${torch.version} (${torch.flavour}) in ${torch.folder}`);

const cmakeJs = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
const run = (...args) => {
  const { status } = spawnSync(process.execPath, [cmakeJs, ...args], { cwd: root, stdio: "inherit" });
  if (status !== 0) fail(`The native build failed (cmake-js ${args[0]}). The reason stands above.`);
};

// A build folder that was made for another checkout or another CMake generator cannot be used again.
const cache = join(root, "build", "CMakeCache.txt");
if (existsSync(cache)) {
  const home = /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(readFileSync(cache, "utf8"))?.[1];
  if (home !== undefined && join(home, "/") !== join(root, "/")) run("clean");
}
run(
  "configure",
  `--CDLIBTORCH=${torch.folder}`,
  `--CDCUDA_TOOLKIT=${toolkit}`,
  `--CDBUILD_CHECKS=${checks ? "ON" : "OFF"}`,
);
// A file that includes LibTorch's headers takes about 2 GB to compile.
const parallel = Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 2 ** 31)));
run("build", "--parallel", String(parallel));

for (const name of ["loader.node", "transfer_limits.node", ...(cuda ? ["transfer_limits_cuda.node"] : [])]) {
  if (!existsSync(join(root, "build", "Release", name))) fail(`The build made no build/Release/${name}`);
}
// Read before the addon is loaded: one that was built for another LibTorch can end the process that loads it.
const addons = ["transfer_limits.node", ...(cuda ? ["transfer_limits_cuda.node"] : [])];
const libtorch = Object.fromEntries(addons.map((name) => [name, torch.version]));
writeFileSync(join(root, "build", "Release", "built-for.json"), `${JSON.stringify({ libtorch }, null, 2)}\n`);
