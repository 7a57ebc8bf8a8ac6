// How long it takes from the packed tarball to a loaded addon, step by step, on a machine as its users have it: an empty
// folder, and a PATH without a compiler, CMake and make. npm's cache is filled first, which is not counted.
//
//   node scripts/release/time-install.mjs TARBALL [--fetch] [--demo] [--out FILE.json]
//
//   --fetch   LibTorch is fetched too, into an empty cache; else the one in the package's cache is taken
//   --demo    then the whole demo is run, and its results are looked at
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { fetchedFolder, readLock } from "../../dist/native/libtorch/lock.js";
import { fail } from "../libtorch.mjs";
import { plainPath, timed } from "./plain-host.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { fetch: { type: "boolean" }, demo: { type: "boolean" }, out: { type: "string" } },
});
const [given] = positionals;
if (given === undefined || !existsSync(given))
  fail("Which tarball? node scripts/release/time-install.mjs release/transfer-limits-0.1.0.tgz");
if (!values.fetch && !existsSync(fetchedFolder(readLock())))
  fail(`${fetchedFolder(readLock())} is not there: node scripts/fetch-libtorch.mjs, or --fetch`);
const tarball = basename(given);

const place = mkdtempSync(join(tmpdir(), "transfer-limits-install-"));
process.on("exit", () => rmSync(place, { recursive: true, force: true }));
const environment = {
  ...process.env,
  PATH: plainPath(place, { python: true }),
  ...(values.fetch ? { XDG_CACHE_HOME: join(place, "cache") } : {}),
  npm_config_update_notifier: "false",
};
for (const name of ["LIBTORCH", "CXX", "CC", "TRANSFER_LIMITS_PYTHON_TORCH", "TRANSFER_LIMITS_FLAVOUR"])
  delete environment[name];

const steps = {};
const step = (name, folder, program, ...words) => {
  const { stdout, stderr, seconds } = timed(program, words, folder, environment);
  steps[name] = seconds;
  console.log(`${seconds.toFixed(1).padStart(7)} s  ${name}`);
  return { stdout, stderr };
};
const emptyFolder = async (name) => {
  const folder = join(place, name);
  mkdirSync(folder);
  await copyFile(resolve(given), join(folder, tarball));
  return folder;
};

timed("npm", ["install", "--silent", `./${tarball}`], await emptyFolder("first"), environment);
const folder = await emptyFolder("project");
step("npm install, its cache filled", folder, "npm", "install", "--silent", `./${tarball}`);
if (values.fetch)
  step("LibTorch fetched, and doctor", folder, "npx", "transfer-limits", "doctor", "--install");
const { stdout: found } = step(
  values.fetch ? "doctor once more" : "doctor: the addon is tried and loaded",
  folder,
  "npx",
  "transfer-limits",
  "doctor",
);
if (!/native addon: built for .*it came with the package/.test(found)) fail(found);
const once = `
  import { Tensor } from "transfer-limits";
  const tensor = Tensor.from(new Float32Array([1, 2, 3]), [3]);
  if ((await tensor.toArray()).join() !== "1,2,3") process.exitCode = 1;
  tensor.dispose();`;
step("a script that computes", folder, "node", "--input-type=module", "--eval", once);
const seconds = Object.values(steps).reduce((sum, one) => sum + one, 0);
console.log(`${seconds.toFixed(1).padStart(7)} s  from the tarball to a loaded addon, all of these`);

let demo = null;
if (values.demo) {
  const { stdout, stderr } = step("demo", folder, "npx", "transfer-limits", "demo", "--json");
  const { report, results } = JSON.parse(stdout);
  const statuses = Object.fromEntries(
    [...new Set(results.cells.map(({ status }) => status))].map((status) => [
      status,
      results.cells.filter((cell) => cell.status === status).length,
    ]),
  );
  const warnings = stderr.split("\n").filter((line) => /warning|error|failed/i.test(line));
  demo = { complete: results.complete, statuses, report: existsSync(report), warnings };
  console.log(JSON.stringify(demo, null, 2));
  if (!demo.complete || !demo.report) fail("The demo did not end with a complete report");
}
if (values.out) writeFileSync(values.out, `${JSON.stringify({ tarball, steps, seconds, demo }, null, 2)}\n`);
