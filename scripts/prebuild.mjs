// Copies what the build made, stripped, to prebuilds/<platform>-<arch>/torch-<version>/, which `npm pack` packs: the loader
// and the addon, and with CUDA where that was built. Refuses a binary with a symbol that its LibTorch lacks, or that asks
// for a newer glibc or libstdc++ than LibTorch does. Binaries for other versions stay as they are.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { missingSymbols, newestAsked, readable, run, tooNew } from "./binary-symbols.mjs";
import { fail, libTorch, root } from "./libtorch.mjs";

const mostBytes = 10e6;
const from = join(root, "build", "Release");
const note = join(from, "built-for.json");
if (!existsSync(note)) fail("build/Release/built-for.json is missing. Run first: npm run build:native");
const { libtorch } = JSON.parse(readFileSync(note, "utf8"));
const cuda = "transfer_limits_cuda.node" in libtorch;
const torch = await libTorch({ cuda });

const versions = [...new Set(Object.values(libtorch))];
if (versions.length !== 1 || versions[0] !== torch.version) {
  fail(
    `The binaries were built for LibTorch ${versions.join(" and ")}, but ${torch.version} lies in ${torch.folder}`,
  );
}
const name = `torch-${torch.version.split(".").slice(0, 2).join(".")}`;
const to = join(root, "prebuilds", `${process.platform}-${process.arch}`, name);
rmSync(to, { recursive: true, force: true });
mkdirSync(to, { recursive: true });
for (const binary of ["loader.node", ...Object.keys(libtorch)]) {
  const file = join(to, binary);
  copyFileSync(join(from, binary), file);
  try {
    run("strip", "--strip-unneeded", file);
    examine(binary, file);
  } catch (error) {
    rmSync(to, { recursive: true, force: true });
    fail(error.message);
  }
}
writeFileSync(join(to, "built-for.json"), `${JSON.stringify({ libtorch }, null, 2)}\n`);

/** LibTorch's own OpenMP comes with it, wherever it is opened. */
function librariesFor(binary) {
  const folder = join(torch.folder, "lib");
  const openmp = readdirSync(folder).filter((one) => one.startsWith("libgomp"));
  const cudaToo = binary === "transfer_limits_cuda.node" ? torch.cudaLibraries : [];
  return [...torch.libraries, ...openmp.map((one) => join(folder, one)), ...cudaToo];
}

function examine(binary, file) {
  const { size } = statSync(file);
  if (size > mostBytes) throw new Error(`${binary} has ${size} bytes; at most ${mostBytes} are packed`);
  const asked = newestAsked(file);
  const wrong = tooNew(asked);
  if (wrong.length > 0) throw new Error(`${binary} asks for ${wrong.join(", and for ")}`);
  const missing = binary === "loader.node" ? [] : missingSymbols(file, librariesFor(binary));
  if (missing.length > 0) {
    throw new Error(
      `LibTorch ${torch.version} in ${torch.folder} lacks ${missing.length} symbols that ${binary} needs:\n  ` +
        readable(missing.slice(0, 20)).join("\n  "),
    );
  }
  console.log(
    `${name}/${binary}: ${(size / 1e6).toFixed(1)} MB, needs GLIBC_${asked.GLIBC} and GLIBCXX_${asked.GLIBCXX}; ` +
      `every symbol is found`,
  );
}
