import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { locateLibTorch } from "../dist/native/libtorch.js";
import { addonFile } from "../dist/native/load-addon.js";
import { missingSymbols, newestAsked, tooNew } from "../scripts/binary-symbols.mjs";
import { temporaryFolder, writeFiles } from "./libtorch-fixture.js";

const { libraries = [], cudaLibraries = [], folder = "" } = locateLibTorch().found ?? {};
const openmp = readdirSync(join(folder, "lib"))
  .filter((name) => name.startsWith("libgomp"))
  .map((name) => join(folder, "lib", name));

describe("what the compiled addon asks of other libraries", () => {
  it("is found in LibTorch, Node and the system's libraries", () => {
    const cuda = addonFile().includes("cuda") ? cudaLibraries : [];
    expect(missingSymbols(addonFile(), [...libraries, ...openmp, ...cuda])).toEqual([]);
  });

  it("is seen to be missing where one of LibTorch's libraries is", () => {
    const rest = libraries.filter((path) => !path.endsWith("libc10.so"));
    const missing = missingSymbols(addonFile(), [...rest, ...openmp]);
    expect(missing.length).toBeGreaterThan(10);
    expect(missing).toContainEqual(expect.stringContaining("3c1010TensorImpl")); // as compilers write c10::TensorImpl
  });

  it("is no newer than glibc 2.28 and GCC 8's libstdc++, whatever the system is on which it was built", () => {
    expect(tooNew(newestAsked(addonFile()))).toEqual([]);
  });

  it("is seen to be too new in a program that takes what its own system has", () => {
    const place = temporaryFolder();
    writeFiles(place, {
      "new.cc": '#include <cstdlib>\nextern "C" int f(int n) { return arc4random_uniform(n); }',
    });
    const file = join(place, "new.so");
    execFileSync(process.env.CXX || "g++", ["-shared", "-fPIC", join(place, "new.cc"), "-o", file]);
    expect(tooNew(newestAsked(file))).toEqual(["GLIBC_2.36, but at most GLIBC_2.28 is everywhere"]);
  });
});
