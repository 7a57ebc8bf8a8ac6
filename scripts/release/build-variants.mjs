// Builds the binaries that the package is published with: for each minor version of LibTorch that is supported, for the CPU
// and with CUDA, into prebuilds/. The pinned version comes last, so that build/ is left with it.
//
//   node scripts/release/build-variants.mjs [--cpu] [--only 2.11.0,2.14.1]
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeFetch, fetchLibTorch } from "../../dist/native/libtorch/fetch.js";
import { fail, root } from "../libtorch.mjs";
import { variantLocks } from "./variant-locks.mjs";

const { values } = parseArgs({ options: { cpu: { type: "boolean" }, only: { type: "string" } } });

const locks = variantLocks();
const wanted = values.only?.split(",") ?? locks.map(({ version }) => version);
const unknown = wanted.filter((version) => !locks.some((lock) => lock.version === version));
if (unknown.length > 0) {
  fail(`--only names ${unknown}, but there are ${locks.map(({ version }) => version).join(", ")}`);
}

for (const lock of locks.filter(({ version }) => wanted.includes(version))) {
  const parts = values.cpu ? [] : ["cuda"];
  const { folder } = await fetchLibTorch({ lock, parts, onProgress: printWhole }).catch((error) =>
    fail(error.message),
  );
  const environment = { ...process.env, LIBTORCH: folder };
  node(environment, "scripts/build-native.mjs", ...(values.cpu ? [] : ["--cuda", "--addon-only"]));
  node(environment, "scripts/prebuild.mjs");
}

function printWhole(event) {
  if (event.kind !== "download" || event.bytes === event.total) console.error(describeFetch(event));
}

function node(env, script, ...args) {
  const { status } = spawnSync(process.execPath, [join(root, script), ...args], {
    cwd: root,
    env,
    stdio: "inherit",
  });
  if (status !== 0) fail(`${script} failed. The reason stands above.`);
}
