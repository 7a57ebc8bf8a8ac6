// Formats and checks the C++ sources with pinned tools: clang-format over all of native/, clang-tidy over every file
// that the build compiles. `--write` formats in place and checks nothing. A file that passed clang-tidy is not checked
// again until it, a header, its compiler flags or the configuration changes.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join, relative } from "node:path";
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
  const commands = join(root, "build", "compile_commands.json");
  if (!existsSync(commands)) fail("build/compile_commands.json is missing. Run first: npm run build:native");
  const entries = JSON.parse(readFileSync(commands, "utf8"))
    .filter(({ file }) => native.includes(file))
    .map((entry) => ({ ...entry, command: commandForClang(entry.command) }));

  const database = join(root, "build", "tidy");
  mkdirSync(database, { recursive: true });
  writeFileSync(join(database, "compile_commands.json"), JSON.stringify(entries));

  const passed = join(folder, "passed");
  mkdirSync(passed, { recursive: true });
  const headers = native.filter((file) => file.endsWith(".h")).map((file) => readFileSync(file, "utf8"));
  const configuration = readFileSync(join(root, ".clang-tidy"), "utf8");
  const { version } = await libTorch();
  const common = digest(tools.tidy, version, configuration, headers);
  const work = entries
    .map((entry) => ({
      ...entry,
      mark: join(
        passed,
        digest(common, entry.command.replaceAll(root, "/"), readFileSync(entry.file, "utf8")),
      ),
    }))
    .filter(({ mark }) => !existsSync(mark));

  let failures = 0;
  let done = 0;
  const worker = async () => {
    for (let entry = work.shift(); entry; entry = work.shift()) {
      const { code, output } = await check(database, entry.file);
      const name = relative(root, entry.file);
      console.error(`clang-tidy ${name}: ${code === 0 ? "passed" : "FAILED"}`);
      if (code === 0) writeFileSync(entry.mark, "");
      else {
        console.error(output);
        failures++;
      }
      done++;
    }
  };
  // One file with LibTorch's headers takes about 1 GB.
  const parallel = Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 2 ** 31)));
  await Promise.all(Array.from({ length: parallel }, worker));
  console.error(
    `clang-tidy: ${entries.length} files, ${done} checked now, ${entries.length - done} unchanged, ${failures} failed`,
  );
  return failures === 0;
}

/**
 * clang cannot read g++'s precompiled header, and the same header is included as text instead; nor has it a header of
 * OpenMP, without which at::parallel_for is a plain loop.
 */
function commandForClang(command) {
  return command
    .replace(/ -fopenmp/, "")
    .replace(/ -Winvalid-pch/, "")
    .replace(/ -include \S*cmake_pch\.hxx/, ` -include ${join(root, "native", "precompiled.h")}`);
}

function check(database, file) {
  return new Promise((resolve) => {
    const child = spawn(tools.tidy, ["--quiet", "-p", database, file], { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const add = (chunk) => {
      output += chunk;
    };
    child.stdout.setEncoding("utf8").on("data", add);
    child.stderr.setEncoding("utf8").on("data", add);
    child.on("error", (error) => resolve({ code: 1, output: error.message }));
    child.on("close", (code) => resolve({ code, output }));
  });
}
