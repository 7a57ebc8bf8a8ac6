// Copies what the build made, stripped, to prebuilds/<platform>-<arch>/, which `npm pack` packs: the loader and the addon,
// and with CUDA where that was built. Prints their sizes and the newest glibc and libstdc++ that they ask for.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fail, root } from "./libtorch.mjs";

const mostBytes = 10e6;
const from = join(root, "build", "Release");
const to = join(root, "prebuilds", `${process.platform}-${process.arch}`);
const note = join(from, "built-for.json");
if (!existsSync(note)) fail("build/Release/built-for.json is missing. Run first: npm run build:native");
const { libtorch } = JSON.parse(readFileSync(note, "utf8"));

rmSync(to, { recursive: true, force: true });
mkdirSync(to, { recursive: true });
for (const name of ["loader.node", ...Object.keys(libtorch)]) {
  const file = join(to, name);
  copyFileSync(join(from, name), file);
  run("strip", "--strip-unneeded", file);
  const { size } = statSync(file);
  if (size > mostBytes) fail(`${name} has ${size} bytes; at most ${mostBytes} are packed`);
  const symbols = run("objdump", "-T", file);
  console.log(
    `${name}: ${(size / 1e6).toFixed(1)} MB${libtorch[name] ? `, for LibTorch ${libtorch[name]}` : ""}, ` +
      `needs ${newest(symbols, "GLIBC_")} and ${newest(symbols, "GLIBCXX_")}`,
  );
}
writeFileSync(join(to, "built-for.json"), `${JSON.stringify({ libtorch }, null, 2)}\n`);

/** The newest version of a library's symbols that a binary refers to. */
function newest(symbols, prefix) {
  const versions = [...symbols.matchAll(new RegExp(`\\b${prefix}([0-9.]+)`, "g"))].map(
    ([, version]) => version,
  );
  const order = (a, b) => a.localeCompare(b, "en", { numeric: true });
  return `${prefix}${versions.sort(order).at(-1) ?? "none"}`;
}

function run(program, ...args) {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 2 ** 28 });
  if (status !== 0) fail(`${program} failed: ${stderr ?? "it is not there"}`);
  return stdout;
}
