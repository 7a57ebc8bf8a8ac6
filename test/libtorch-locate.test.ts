import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { serves, versionsServed } from "../dist/native/binaries.js";
import { readLock } from "../dist/native/libtorch/lock.js";
import { locateLibTorch, searchReport } from "../dist/native/libtorch.js";
import { emptyLibrary, libTorchFiles, temporaryFolder, writeFiles } from "./libtorch-fixture.js";

const { version: pinned } = readLock();
const python = execFileSync("python3", ["-c", "import sys; print(sys.executable)"], {
  encoding: "utf8",
}).trim();

describe("locating LibTorch", () => {
  it("takes the folder that LIBTORCH names before the cache", () => {
    const folder = temporaryFolder();
    writeFiles(join(folder, "mine"), libTorchFiles("2.12.0"));
    writeFiles(join(folder, "cache", "transfer-limits", `libtorch-${pinned}`), libTorchFiles(pinned));
    const environment = { LIBTORCH: join(folder, "mine"), XDG_CACHE_HOME: join(folder, "cache") };

    expect(locateLibTorch(environment).found).toMatchObject({
      folder: join(folder, "mine"),
      version: "2.12.0",
    });
    expect(locateLibTorch({ ...environment, LIBTORCH: "" }).found).toMatchObject({ version: pinned });
  });

  it("does not quietly take another LibTorch where LIBTORCH names one that cannot be used", () => {
    const folder = temporaryFolder();
    writeFiles(join(folder, "cache", "transfer-limits", `libtorch-${pinned}`), libTorchFiles(pinned));
    const { found, tried } = locateLibTorch({
      LIBTORCH: join(folder, "absent"),
      XDG_CACHE_HOME: join(folder, "cache"),
    });

    expect(found).toBeNull();
    expect(tried).toEqual([{ place: `LIBTORCH=${join(folder, "absent")}`, outcome: "no such folder" }]);
  });

  it("asks the Python that TRANSFER_LIMITS_PYTHON_TORCH names for its torch, after the cache", () => {
    const { environment, folder, torch } = pythonWithTorch("2.13.1");
    for (const wish of ["1", python]) {
      expect(locateLibTorch({ ...environment, TRANSFER_LIMITS_PYTHON_TORCH: wish }).found).toMatchObject({
        folder: torch,
        version: "2.13.1",
      });
    }
    writeFiles(join(folder, "cache", "transfer-limits", `libtorch-${pinned}`), libTorchFiles(pinned));
    expect(locateLibTorch({ ...environment, TRANSFER_LIMITS_PYTHON_TORCH: "1" }).found?.version).toBe(pinned);
  });

  it("takes python3's torch unasked where nothing else is there and a binary serves it, and says so", () => {
    const { environment, torch } = pythonWithTorch(versionsServed()[0] as string);
    const { found, tried } = locateLibTorch(environment);
    expect(found?.folder).toBe(torch);
    expect(tried.at(-1)?.place).toBe(`the torch of python3: ${torch}`);
    expect(locateLibTorch({ ...environment, TRANSFER_LIMITS_PYTHON_TORCH: "0" }).found).toBeNull();
  });

  it("leaves python3's torch where no binary serves it, and says what would take it", () => {
    const served = versionsServed();
    const version = ["2.11.0", "2.12.0", "2.13.0", "2.15.0"].find(
      (one) => !served.some((built) => serves(built, one)),
    );
    if (version === undefined) return; // a checkout with binaries for every version
    const { found, tried } = locateLibTorch(pythonWithTorch(version).environment);
    expect(found).toBeNull();
    expect(tried.at(-1)?.outcome).toBe(
      `there is no binary for LibTorch ${version}; TRANSFER_LIMITS_PYTHON_TORCH=1 builds one for it`,
    );
  });

  it("opens the CUDA runtime first for a CUDA build, wherever it lies, and LibTorch's own libraries last", () => {
    const folder = temporaryFolder();
    const torch = join(folder, "site-packages", "torch");
    writeFiles(torch, { ...libTorchFiles("2.14.1"), "lib/libtorch_cuda.so": emptyLibrary("cuda") });
    const nvidia = join(folder, "site-packages", "nvidia", "cu13", "lib");
    writeFiles(nvidia, { "libcudart.so.13": "", "libcupti.so.13": "" });

    expect(locateLibTorch({ LIBTORCH: torch, XDG_CACHE_HOME: folder }).found).toMatchObject({
      flavour: "cuda",
      libraries: [
        join(nvidia, "libcudart.so.13"),
        join(nvidia, "libcupti.so.13"),
        join(torch, "lib", "libc10.so"),
        join(torch, "lib", "libtorch_cpu.so"),
      ],
    });
  });

  it("reads the flavour from build-version, and asks a CPU build for no CUDA runtime", () => {
    const folder = temporaryFolder();
    writeFiles(folder, { ...libTorchFiles("2.15.0"), "build-version": "2.15.0+cpu\n" });
    const { found } = locateLibTorch({ LIBTORCH: folder, XDG_CACHE_HOME: folder });
    expect(found).toMatchObject({ version: "2.15.0", flavour: "cpu" });
    expect(found?.libraries).toHaveLength(2);
  });

  it("takes libdeflate from the cache for any LibTorch", () => {
    const folder = temporaryFolder();
    const cached = join(folder, "transfer-limits", `libtorch-${pinned}`, "lib");
    writeFiles(join(folder, "mine"), libTorchFiles("2.15.0"));
    writeFiles(cached, { "libdeflate.so.0": "" });
    const { found } = locateLibTorch({ LIBTORCH: join(folder, "mine"), XDG_CACHE_HOME: folder });
    expect(found?.libraries[0]).toBe(join(cached, "libdeflate.so.0"));
  });

  it.each([
    ["2.10.2", "LibTorch 2.10.2 is not between 2.11 and 2.15"],
    ["2.16.0", "LibTorch 2.16.0 is not between 2.11 and 2.15"],
    ["3.12.0", "LibTorch 3.12.0 is not between 2.11 and 2.15"],
  ])("refuses LibTorch %s, which the source does not build against", (version, outcome) => {
    const folder = temporaryFolder();
    writeFiles(folder, libTorchFiles(version));
    const { found, tried } = locateLibTorch({ LIBTORCH: folder });
    expect(found).toBeNull();
    expect(tried[0]?.outcome).toBe(outcome);
  });

  it("says which file is missing from a folder that is no LibTorch", () => {
    const folder = temporaryFolder();
    const { "lib/libc10.so": _, ...incomplete } = libTorchFiles("2.14.1");
    writeFiles(folder, incomplete);
    expect(locateLibTorch({ LIBTORCH: folder }).tried[0]?.outcome).toBe(
      "not a LibTorch folder: lib/libc10.so is missing",
    );
  });

  it("reports every place that it tried, and how to mend it", () => {
    const folder = temporaryFolder();
    const report = searchReport(locateLibTorch({ XDG_CACHE_HOME: folder, PATH: "/nowhere" }).tried);
    expect(report).toContain("LIBTORCH: the environment variable is not set");
    expect(report).toContain(`${join(folder, "transfer-limits", `libtorch-${pinned}`)}: no such folder`);
    expect(report).toContain("the torch of python3: it could not be asked");
    expect(report).toContain("dist/cli/main.js doctor --install");
    expect(report).toContain("set LIBTORCH");
  });
});

/** A python3 that has this version of torch, and nothing else from which LibTorch could come. */
function pythonWithTorch(version: string) {
  const folder = temporaryFolder();
  const torch = join(folder, "packages", "torch");
  writeFiles(torch, { ...libTorchFiles(version), "__init__.py": "" });
  const environment = {
    XDG_CACHE_HOME: join(folder, "cache"),
    PATH: dirname(python),
    PYTHONPATH: join(folder, "packages"),
  };
  return { folder, torch, environment };
}
