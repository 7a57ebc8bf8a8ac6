import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { binaryFolders, findBinaries } from "../dist/native/binaries.js";
import { locateLibTorch } from "../dist/native/libtorch.js";
import { tryInChild } from "../dist/native/trial.js";
import { temporaryFolder, writeFiles } from "./libtorch-fixture.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const platform = `${process.platform}-${process.arch}`;
const binaries = ["loader.node", "transfer_limits.node"];

/** The package as it is installed, in a path with a space, with binaries that came with it and none that was built. */
function installed(builtFor: string) {
  const folder = join(temporaryFolder(), "an installed package");
  const prebuilds = join(folder, "prebuilds", platform);
  mkdirSync(prebuilds, { recursive: true });
  for (const name of ["package.json", "libtorch.lock.json", "cuda-toolkit.lock.json"])
    copyFileSync(join(root, name), join(folder, name));
  cpSync(join(root, "dist"), join(folder, "dist"), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const from = findBinaries()?.path as string;
  for (const name of binaries) copyFileSync(join(from, name), join(prebuilds, name));
  const libtorch = { "transfer_limits.node": builtFor };
  writeFileSync(join(prebuilds, "built-for.json"), JSON.stringify({ libtorch }));
  const addon = () => {
    const run = spawnSync(process.execPath, [join(folder, "dist", "cli", "main.js"), "doctor", "--json"], {
      encoding: "utf8",
      env: {
        ...process.env,
        LIBTORCH: locateLibTorch().found?.folder,
        XDG_CACHE_HOME: temporaryFolder(),
        TRANSFER_LIMITS_FLAVOUR: "cpu",
      },
    });
    const { findings } = JSON.parse(run.stdout) as { findings: { name: string; detail: string }[] };
    return {
      status: run.status,
      detail: findings.find(({ name }) => name === "native addon")?.detail as string,
    };
  };
  return { addon, prebuilds };
}

describe("binaries that come with the package", () => {
  it("are taken where none was built here, and left where one was", () => {
    const folder = temporaryFolder();
    expect(findBinaries(folder)).toBeNull();
    const files = (place: string) => Object.fromEntries(binaries.map((name) => [join(place, name), ""]));
    writeFiles(folder, files(join("prebuilds", platform)));
    expect(findBinaries(folder)).toEqual({ path: join(folder, "prebuilds", platform), origin: "prebuilt" });
    writeFiles(folder, { "build/Release/loader.node": "" }); // half of a build
    expect(findBinaries(folder)?.origin).toBe("prebuilt");
    writeFiles(folder, files("build/Release"));
    expect(findBinaries(folder)).toEqual(binaryFolders(folder)[0]);
  });

  it("compute from a path with a space", () => {
    const { status, detail } = installed(locateLibTorch().found?.version as string).addon();
    expect(detail).toMatch(/^built for LibTorch 2\.\d+\.\d+, for the CPU.*it came with the package$/);
    expect(status).toBe(0);
  });

  it("are not loaded beside another LibTorch: the error names both versions and both ways out", () => {
    const { status, detail } = installed("2.11.0").addon();
    expect(status).toBe(1);
    expect(detail).toContain("built for LibTorch 2.11.0");
    expect(detail).toContain(`but LibTorch ${locateLibTorch().found?.version} lies in`);
    expect(detail).toMatch(/- use LibTorch 2\.11\.0: set LIBTORCH/);
    expect(detail).toMatch(/- build the addon for LibTorch .*scripts\/build-native\.mjs/);
  });

  it("that are damaged are an error that says which file and where it came from", () => {
    const { addon, prebuilds } = installed(locateLibTorch().found?.version as string);
    writeFileSync(join(prebuilds, "transfer_limits.node"), "half of a binary");
    const { status, detail } = addon();
    expect(status).toBe(1);
    expect(detail).toContain(join(prebuilds, "transfer_limits.node"));
    expect(detail).toContain("it came with the package");
  });
});

describe("the trial of a binary", () => {
  const files = (loader: string, addon = "exports.buildInfo = () => ({});") => {
    const folder = temporaryFolder();
    writeFiles(folder, { "loader.cjs": loader, "addon.cjs": addon });
    return ["loader.cjs", "addon.cjs"].map((name) => join(folder, name));
  };

  it("that crashes ends a process of its own, and says by which signal", () => {
    expect(tryInChild(files("exports.open = () => process.kill(process.pid, 'SIGSEGV');"))).toBe(
      "the process that tried was ended by SIGSEGV",
    );
  });

  it("that is refused says the system's words", () => {
    const loader =
      "exports.open = () => { throw new Error('libcudart.so.13: cannot open shared object file'); };";
    expect(tryInChild(files(loader))).toBe("libcudart.so.13: cannot open shared object file");
  });

  it("is made once for each binary, and again when it has changed", () => {
    const tally = join(temporaryFolder(), "tally");
    const loader = `exports.open = () => require("node:fs").appendFileSync(${JSON.stringify(tally)}, "x");`;
    const both = files(loader);
    for (let time = 0; time < 3; time++) expect(tryInChild(both)).toBeNull();
    expect(readFileSync(tally, "utf8")).toBe("x");
    writeFileSync(both[1] as string, "throw new Error('other');");
    expect(tryInChild(both)).toBe("other");
    expect(existsSync(tally) && readFileSync(tally, "utf8")).toBe("xx");
  });
});
