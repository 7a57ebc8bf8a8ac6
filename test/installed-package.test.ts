import { spawnSync } from "node:child_process";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { locateLibTorch } from "../dist/native/libtorch.js";
import { installed, version } from "./installed-fixture.js";
import { temporaryFolder } from "./libtorch-fixture.js";

const libtorch = locateLibTorch().found?.folder;

/** Runs a module in a process of its own, with a cache of its own, and answers what it prints. */
function run(folder: string, source: string, environment: NodeJS.ProcessEnv = {}): string {
  const file = join(folder, "program.mjs");
  writeFileSync(file, source);
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [file], {
    encoding: "utf8",
    env: { ...process.env, XDG_CACHE_HOME: temporaryFolder(), LIBTORCH: libtorch, ...environment },
  });
  if (status !== 0) throw new Error(`ended by ${signal ?? status}: ${stderr}`);
  return stdout;
}

const indexOf = (folder: string): string =>
  JSON.stringify(pathToFileURL(join(folder, "dist", "index.js")).href);

/** Every file of a folder with its size and time, but for what is linked in. */
const inventory = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => {
      const { size, mtimeMs } = statSync(join(parentPath, name));
      return `${join(parentPath, name)} ${size} ${mtimeMs}`;
    })
    .sort();

const sum = (index: string) => `
  const { Tensor } = await import(${index});
  const tensor = Tensor.from(new Float32Array([1, 2, 3]), [3]);
  const values = await tensor.toArray();
  tensor.dispose();`;

describe("the package as it is installed", () => {
  it("computes in two worker threads at once, both the first to load it", () => {
    const { folder } = installed(version);
    const place = temporaryFolder();
    const out = run(
      place,
      `
      import { isMainThread, parentPort, Worker } from "node:worker_threads";
      if (isMainThread) {
        const answers = [0, 1].map(() => new Promise((resolve, reject) => {
          new Worker(new URL(import.meta.url)).on("message", resolve).on("error", reject);
        }));
        console.log(JSON.stringify(await Promise.all(answers)));
      } else {
        ${sum(indexOf(folder))}
        parentPort.postMessage([...values]);
      }`,
    );
    expect(JSON.parse(out)).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
  }, 120_000);

  it("computes twice in one process: imported anew, and from a second copy of it", () => {
    const [first, second] = [installed(version).folder, installed(version).folder];
    const again = JSON.stringify(`${JSON.parse(indexOf(first))}?again`);
    const blocks = [indexOf(first), again, indexOf(second)].map(
      (index) => `{ ${sum(index)} all.push([...values]); }`,
    );
    const out = run(
      temporaryFolder(),
      `const all = []; ${blocks.join("\n")} console.log(JSON.stringify(all));`,
    );
    expect(JSON.parse(out)).toEqual([
      [1, 2, 3],
      [1, 2, 3],
      [1, 2, 3],
    ]);
  }, 120_000);

  it("writes into the cache alone, never into its own folder, and does without a cache that cannot be written", () => {
    const { folder } = installed(version);
    const before = inventory(folder);
    const program = `${sum(indexOf(folder))} console.log(values.join());`;
    const cache = temporaryFolder();
    expect(run(temporaryFolder(), program, { XDG_CACHE_HOME: cache }).trim()).toBe("1,2,3");
    expect(readdirSync(join(cache, "transfer-limits"))).toEqual(["tried"]);
    expect(run(temporaryFolder(), program, { XDG_CACHE_HOME: "/dev/null/cache" }).trim()).toBe("1,2,3");
    expect(inventory(folder)).toEqual(before);
  }, 120_000);
});
