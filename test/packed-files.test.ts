import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { serves } from "../dist/native/binaries.js";
import { readLock } from "../dist/native/libtorch/lock.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const json = (path: string) => JSON.parse(readFileSync(new URL(`../${path}`, import.meta.url), "utf8"));

/** What `npm pack` would pack. */
let files: string[];
beforeAll(() => {
  const answer = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  files = (JSON.parse(answer) as { files: { path: string }[] }[])[0]?.files.map(({ path }) => path) ?? [];
}, 120_000);

describe("the packed package", () => {
  it("holds what runs, what explains, and what builds the addon anew", () => {
    for (const needed of [
      "dist/cli/main.js",
      "dist/native/load-once.js",
      "libtorch.lock.json",
      "README.md",
      "docs/methods.md",
      "examples/run-study.mjs",
      "CMakeLists.txt",
      "cmake/cuda.cmake",
      "native/addon.cc",
      "scripts/build-native.mjs",
    ])
      expect(files).toContain(needed);
    expect(files.filter((path) => /^(test|src|build|release|containers)\//.test(path))).toEqual([]);
  });

  it("starts no compiler where it is installed: it has no script for that, nor a binding.gyp, for which yarn would", () => {
    expect(files.filter((path) => path.endsWith(".gyp"))).toEqual([]);
    const { scripts } = json("package.json") as { scripts: Record<string, string> };
    for (const name of ["preinstall", "install", "postinstall", "prepare"])
      expect(scripts).not.toHaveProperty(name);
  });

  it("is released with binaries for every minor version of LibTorch from 2.11 to 2.15, one for each", () => {
    const versions = [
      ...(json("scripts/release/variants.json") as { version: string; sha256: string }[]).map(
        ({ version }) => version,
      ),
      readLock().version,
    ];
    for (const minor of [11, 12, 13, 14, 15])
      expect(versions.filter((version) => serves(version, `2.${minor}.0`))).toHaveLength(1);
    expect(versions).toHaveLength(5);
  });
});
