// Formats and checks the C++ sources with pinned tools: clang-format over all of native/, clang-tidy over every file
// that the build compiles, several at a time where the build does so: eight take no longer than one, since nearly all of it
// goes into LibTorch's headers. `--write` formats in place and checks nothing. What passed clang-tidy is not checked again
// until one of its files, a header that it includes, its compiler flags or the configuration changes.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, totalmem } from "node:os";
import { join, relative, resolve } from "node:path";
import { fail, libTorch, root } from "./libtorch.mjs";

const { cacheFolder } = await import("../dist/native/libtorch/lock.js").catch(() =>
  fail("dist/ is missing. Run first: npm run build:typescript"),
);
const folder = join(cacheFolder(), "lint");
const digest = (...parts) => createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);

const tools = installTools();
const native = readdirSync(join(root, "native"), { recursive: true })
  .filter((name) => /\.(h|cc|cu)$/.test(name))
  .map((name) => join(root, "native", name))
  .sort();

if (process.argv.includes("--write")) {
  process.exit(spawnSync(tools.format, ["-i", ...native], { stdio: "inherit" }).status ?? 1);
}
const unformatted = filesToFormat();
if (unformatted.length > 0) {
  console.error(
    `clang-format would change these files (npm run format lets it):\n  ${unformatted.join("\n  ")}`,
  );
}
const tidy = await checkAll();
process.exit(unformatted.length === 0 && tidy ? 0 : 1);

/** The pinned tools in a folder of their own, by pip, complete or absent. */
function installTools() {
  const requirements = join(root, "scripts", "lint-native.requirements.txt");
  const target = join(folder, `tools-${digest(readFileSync(requirements, "utf8"))}`);
  if (!existsSync(target)) {
    mkdirSync(folder, { recursive: true });
    const partial = `${target}.${process.pid}.partial`;
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
    const { status } = spawnSync(
      "python3",
      [
        ...pip,
        "--require-hashes",
        "--no-deps",
        "--only-binary=:all:",
        "--target",
        partial,
        "-r",
        requirements,
      ],
      { stdio: "inherit" },
    );
    if (status !== 0) fail("pip could not install clang-format and clang-tidy. The reason stands above.");
    if (existsSync(target)) rmSync(partial, { recursive: true });
    else renameSync(partial, target);
  }
  return {
    format: join(target, "clang_format", "data", "bin", "clang-format"),
    tidy: join(target, "clang_tidy", "data", "bin", "clang-tidy"),
  };
}

/** The sources that clang-format would change, relative to the root. */
function filesToFormat() {
  const { stderr, status } = spawnSync(tools.format, ["--dry-run", "--Werror", ...native], {
    maxBuffer: 2 ** 28,
    encoding: "utf8",
  });
  const named = native.filter((file) => stderr.includes(`${file}:`)).map((file) => relative(root, file));
  if (status !== 0 && named.length === 0) fail(`clang-format failed: ${stderr}`);
  return named;
}

/** clang-tidy over every file that the build compiles, several at a time; whether all passed. */
async function checkAll() {
  const torch = await libTorch();
  const database = join(root, "build", "tidy");
  const entries = commandsOfTheBuild(database, torch);

  const passed = join(folder, "passed");
  mkdirSync(passed, { recursive: true });
  const configuration = readFileSync(join(root, ".clang-tidy"), "utf8");
  const common = digest(tools.tidy, torch.version, configuration);
  const work = entries
    .map((entry) => ({
      ...entry,
      mark: join(passed, digest(common, looksAt(entry))),
    }))
    .filter(({ mark }) => !existsSync(mark));

  let failures = 0;
  let done = 0;
  const worker = async () => {
    for (let entry = work.shift(); entry; entry = work.shift()) {
      const { code, output } = await check(database, entry.file);
      console.error(`clang-tidy ${entry.sources.join(", ")}: ${code === 0 ? "passed" : "FAILED"}`);
      if (code === 0) writeFileSync(entry.mark, "");
      else {
        console.error(output);
        failures++;
      }
      done += entry.sources.length;
    }
  };
  // LibTorch's headers take about 1 GB.
  const parallel = Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 2 ** 31)));
  await Promise.all(Array.from({ length: parallel }, worker));
  const files = entries.reduce((sum, { sources }) => sum + sources.length, 0);
  console.error(
    `clang-tidy: ${files} files, ${done} checked now, ${files - done} unchanged; ${failures} of ${entries.length} groups failed`,
  );
  return failures === 0;
}

/** All that decides what clang-tidy says of an entry, the same in each checkout. */
function looksAt({ command, file }) {
  return JSON.stringify([command, [...withIncluded(file)].sort()]).replaceAll(root, "/");
}

/** The text of a source or a group of them, and of all of this project's files that it includes. */
function withIncluded(file, texts = new Map()) {
  if (!existsSync(file)) return texts;
  const text = readFileSync(file, "utf8");
  texts.set(relative(root, file), text);
  for (const [, name] of text.matchAll(/^#include "(.+)"/gm)) {
    const included = resolve(root, "native", name);
    if (!texts.has(relative(root, included))) withIncluded(included, texts);
  }
  return texts;
}

/**
 * How each file, or group of files, is compiled, and the `sources` that it is: without the precompiled headers, which clang
 * cannot read, and without OpenMP, of which it has no header. Whether it is built with CUDA is taken from the build.
 */
function commandsOfTheBuild(database, { folder: torchFolder }) {
  const built = existsSync(join(root, "build", "CMakeCache.txt"))
    ? readFileSync(join(root, "build", "CMakeCache.txt"), "utf8")
    : "";
  const setting = (name, otherwise) => new RegExp(`^${name}:\\w+=(.+)$`, "m").exec(built)?.[1] ?? otherwise;
  const require = createRequire(import.meta.url);
  const nodeApi = [
    require("node-api-headers").include_dir,
    join(require.resolve("node-addon-api/package.json"), ".."),
  ];
  const { status, stderr } = spawnSync(
    "cmake",
    [
      ...["-S", root, "-B", database],
      `-DLIBTORCH=${torchFolder}`,
      `-DNODE_API_INCLUDE=${nodeApi.join(";")}`,
      `-DCUDA_TOOLKIT=${setting("CUDA_TOOLKIT", "")}`,
      `-DBUILD_CHECKS=${setting("BUILD_CHECKS", "OFF")}`,
      ...["-DGROUP_SOURCES=ON", "-DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON"],
    ],
    { encoding: "utf8" },
  );
  if (status !== 0) fail(`cmake could not list how each file is compiled: ${stderr}`);
  const commands = join(database, "compile_commands.json");
  const entries = JSON.parse(readFileSync(commands, "utf8")).map((entry) => ({
    ...entry,
    command: entry.command.replace(/ -fopenmp/, ""),
    sources: sourcesOf(entry.file).map((file) => relative(root, file)),
  }));
  // clang-tidy takes no field that it does not know, and looks for another list elsewhere.
  writeFileSync(commands, JSON.stringify(entries.map(({ sources, ...entry }) => entry)));
  return entries;
}

/** The files of a group that CMake wrote, which clang-tidy is told to let include sources; or the one file. */
function sourcesOf(file) {
  if (native.includes(file)) return [file];
  const text = readFileSync(file, "utf8");
  const grouped = text.replace(/^#include ".+\.cc"$/gm, "$& // NOLINT(bugprone-suspicious-include)");
  writeFileSync(file, grouped);
  return [...grouped.matchAll(/^#include "(.+\.cc)"/gm)].map(([, source]) => source);
}

function check(database, file) {
  return new Promise((done) => {
    const child = spawn(tools.tidy, ["--quiet", "-p", database, file], { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const add = (chunk) => {
      output += chunk;
    };
    child.stdout.setEncoding("utf8").on("data", add);
    child.stderr.setEncoding("utf8").on("data", add);
    child.on("error", (error) => done({ code: 1, output: error.message }));
    child.on("close", (code) => done({ code, output }));
  });
}
