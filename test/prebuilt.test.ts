import { existsSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { binaryFolders, findBinaries } from "../dist/native/binaries.js";
import { tryInChild } from "../dist/native/trial.js";
import { installed, prebuildsIn, version } from "./installed-fixture.js";
import { temporaryFolder, writeFiles } from "./libtorch-fixture.js";

const binaries = (place: string, libtorch: string | null = null) => ({
  [join(place, "loader.node")]: "",
  [join(place, "transfer_limits.node")]: "",
  ...(libtorch
    ? { [join(place, "built-for.json")]: `{"libtorch":{"transfer_limits.node":"${libtorch}"}}` }
    : {}),
});
const prebuilt = (minor: string) => join(prebuildsIn(""), `torch-${minor}`);

describe("binaries that come with the package", () => {
  it("are taken where none was built here, and left where one was", () => {
    const folder = temporaryFolder();
    expect(findBinaries(null, folder)).toBeNull();
    writeFiles(folder, binaries(prebuilt("2.14")));
    expect(findBinaries(null, folder)).toEqual({ path: join(folder, prebuilt("2.14")), origin: "prebuilt" });
    writeFiles(folder, { "build/Release/loader.node": "" }); // half of a build
    expect(findBinaries(null, folder)?.origin).toBe("prebuilt");
    writeFiles(folder, binaries("build/Release"));
    expect(findBinaries(null, folder)).toEqual(binaryFolders(folder)[0]);
  });

  it("are those for the LibTorch that was found, whatever its last number, before others that were built", () => {
    const folder = temporaryFolder();
    writeFiles(folder, {
      ...binaries("build/Release", "2.14.1"),
      ...binaries(prebuilt("2.11"), "2.11.0"),
      ...binaries(prebuilt("2.14"), "2.14.1"),
    });
    expect(findBinaries("2.11.2", folder)?.path).toBe(join(folder, prebuilt("2.11")));
    expect(findBinaries("2.14.0", folder)?.path).toBe(join(folder, "build", "Release"));
    expect(findBinaries("2.1.0", folder)?.path).toBe(join(folder, "build", "Release")); // for the error's sake
  });

  it("compute from a path with a space, beside those for other versions", () => {
    const { status, addon } = installed("2.11.0", version).doctor();
    expect(addon).toMatch(/^built for LibTorch 2\.\d+\.\d+, for the CPU.*it came with the package$/);
    expect(status).toBe(0);
  });

  it("are not loaded beside another LibTorch: the error names the versions and both ways out", () => {
    const { status, addon } = installed("2.10.0", "2.9.1").doctor();
    expect(status).toBe(1);
    expect(addon).toContain("built for LibTorch 2.9.1");
    expect(addon).toContain(`but LibTorch ${version} lies in`);
    expect(addon).toContain("There are binaries for LibTorch 2.9.1, 2.10.0.");
    expect(addon).toMatch(/- use LibTorch 2\.9\.1: set LIBTORCH/);
    expect(addon).toMatch(/- build the addon for LibTorch .*scripts\/build-native\.mjs/);
  });

  it.each([
    ["is no binary", "half of a binary", "is cut short: it has 16 bytes, less than a library's header"],
    ["is another kind of file", "<html>".repeat(20), "is not a shared library"],
  ])("of which one %s are an error that says which file and where it came from", (_, content, fault) => {
    const { doctor, prebuilds } = installed(version);
    const file = join(prebuilds[0] as string, "transfer_limits.node");
    writeFileSync(file, content);
    const { status, addon } = doctor();
    expect(status).toBe(1);
    expect(addon).toContain(`${file} ${fault}`);
    expect(addon).toContain("it came with the package");
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
    for (const file of both) {
      const seconds = Math.floor(statSync(file).mtimeMs / 1000); // as a container's image keeps it
      utimesSync(file, seconds, seconds);
    }
    expect(tryInChild(both)).toBeNull();
    expect(readFileSync(tally, "utf8")).toBe("x");
    writeFileSync(both[1] as string, "throw new Error('other');");
    expect(tryInChild(both)).toBe("other");
    expect(existsSync(tally) && readFileSync(tally, "utf8")).toBe("xx");
  });
});
