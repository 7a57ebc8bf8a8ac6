import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findBinaries } from "../dist/native/binaries.js";
import { readLock } from "../dist/native/libtorch/lock.js";
import { locateLibTorch } from "../dist/native/libtorch.js";
import { startCli } from "./cli-fixture.js";
import { temporaryFolder } from "./libtorch-fixture.js";

const real = locateLibTorch().found?.folder as string;
const addonFolder = findBinaries()?.path as string;

/** The LibTorch of this machine, by links; but for the libraries that are left out, and those that are cut to so many bytes. */
function libTorchWith(change: { without?: RegExp; cut?: Record<string, number> }): string {
  const folder = join(temporaryFolder(), "libtorch");
  mkdirSync(join(folder, "lib"), { recursive: true });
  for (const name of ["include", "build-version"]) symlinkSync(join(real, name), join(folder, name));
  for (const name of readdirSync(join(real, "lib"))) {
    const [from, to] = [join(real, "lib", name), join(folder, "lib", name)];
    const bytes = change.cut?.[name];
    if (bytes !== undefined) {
      // The beginning is the library's; the rest is a hole in the file: half a gigabyte is not copied.
      writeFileSync(to, execFileSync("head", ["-c", "65536", from]));
      truncateSync(to, bytes);
    } else if (!change.without?.test(name)) symlinkSync(from, to);
  }
  return folder;
}

const sizeOf = (name: string): number => statSync(join(real, "lib", name)).size;

/** What a command answers where no LibTorch is found but in the places that `environment` names. */
async function answerOf(command: string[], environment: NodeJS.ProcessEnv) {
  const { status, stdout } = await startCli([...command, "--json"], {
    ...process.env,
    LIBTORCH: "",
    TRANSFER_LIMITS_PYTHON_TORCH: "0",
    TRANSFER_LIMITS_FLAVOUR: "cpu",
    XDG_CACHE_HOME: temporaryFolder(),
    ...environment,
  }).finished;
  const { error, findings } = JSON.parse(stdout) as {
    findings?: { name: string; status: string; detail: string }[];
    error?: { code: string; message: string };
  };
  const finding = (name: string) => findings?.find((one) => one.name === name);
  return { status, error, libtorch: finding("LibTorch"), addon: finding("native addon") };
}

/** A command that computes, of which nothing is there yet when it looks for LibTorch. */
const computing = ["bench", "mmd", "--quick", "--no-peers"];

describe("where LibTorch is absent", () => {
  it("every place tried and every way out stands in the error of a command that computes, with exit status 1", async () => {
    const cache = temporaryFolder();
    const { status, error } = await answerOf(computing, { XDG_CACHE_HOME: cache });
    expect(status).toBe(1);
    expect(error?.code).toBe("LIBTORCH_MISSING");
    expect(error?.message).toContain("LIBTORCH: the environment variable is not set");
    expect(error?.message).toContain(
      join(cache, "transfer-limits", `libtorch-${readLock().version}: no such folder`),
    );
    expect(error?.message).toContain("the torch of a Python: not wanted");
    expect(error?.message).toMatch(/- fetch LibTorch .* doctor --install/);
    expect(error?.message).toMatch(/- set LIBTORCH to an unpacked LibTorch/);
    expect(error?.message).toMatch(/- set TRANSFER_LIMITS_PYTHON_TORCH=1/);
  });

  it("and cannot be fetched, doctor --install says what pip said and what to look at, with exit status 1", async () => {
    const cache = temporaryFolder();
    const { status, error } = await answerOf(["doctor", "--install"], {
      XDG_CACHE_HOME: cache,
      PIP_CONFIG_FILE: "/dev/null",
      PIP_FIND_LINKS: "",
      PIP_INDEX_URL: "http://127.0.0.1:9/simple/", // nobody listens
    });
    expect(status).toBe(1);
    expect(error?.code).toBe("LIBTORCH_MISSING");
    expect(error?.message).toMatch(/^pip could not download torch 2\.\d+\.\d+ \(exit status 1\):/);
    expect(error?.message).toMatch(/Check the network and pip's index settings/);
    expect(error?.message).toMatch(/Without a network, set LIBTORCH to an unpacked LibTorch/);
    // Whoever fetched keeps its place in the queue for the next, and nothing else stays.
    const left = readdirSync(join(cache, "transfer-limits"));
    expect(left.filter((name) => !/^libtorch-.*\.lock$/.test(name))).toEqual(["downloads"]);
  }, 120_000);
});

describe("where LibTorch is damaged", () => {
  it("a library that is cut short is named with its bytes and those it should have, and is not loaded", async () => {
    const folder = libTorchWith({ cut: { "libtorch_cpu.so": 2e6 } });
    const { status, libtorch } = await answerOf(["doctor"], { LIBTORCH: folder });
    expect(status).toBe(1);
    expect(libtorch).toMatchObject({ status: "missing" });
    const words = /LIBTORCH=(.*): lib\/libtorch_cpu\.so is cut short: it has 2000000 bytes of at least (\d+)/;
    const [, place, bytes] = words.exec(libtorch?.detail ?? "") ?? [];
    expect(place).toBe(folder);
    expect(Number(bytes)).toBeGreaterThan(sizeOf("libtorch_cpu.so") - 4096); // a linker may fill up the end
    expect(Number(bytes)).toBeLessThanOrEqual(sizeOf("libtorch_cpu.so"));
    const { status: end, error } = await answerOf(computing, { LIBTORCH: folder });
    expect([end, error?.code]).toEqual([1, "LIBTORCH_MISSING"]);
  });

  it("so is one that LibTorch needs beside its own", async () => {
    const gomp = readdirSync(join(real, "lib")).find((name) => name.startsWith("libgomp")) as string;
    const folder = libTorchWith({ cut: { [gomp]: 100_000 } });
    const { status, addon } = await answerOf(["doctor"], { LIBTORCH: folder });
    expect(status).toBe(1);
    expect(addon?.detail).toContain("the process that tried was ended by SIGBUS");
    expect(addon?.detail).toContain(
      `${join(folder, "lib", gomp)} is cut short: it has 100000 bytes of at least`,
    );
  });

  it("one of the right size with other content ends a child process at most, and says how", async () => {
    const folder = libTorchWith({ cut: { "libc10.so": sizeOf("libc10.so") } });
    const { status, error } = await answerOf(computing, { LIBTORCH: folder });
    expect([status, error?.code]).toEqual([1, "LIBTORCH_MISSING"]);
    expect(error?.message).toMatch(/^The native addon could not be loaded: /);
    expect(error?.message).toContain(`was taken from ${folder}`);
  });
});

describe("the CUDA flavour where NVIDIA's driver is missing", () => {
  const cuda = { TRANSFER_LIMITS_FLAVOUR: "cuda" };

  it.skipIf(existsSync(join(addonFolder, "transfer_limits_cuda.node")))(
    "that was not built is an error with the command that builds it",
    async () => {
      const { status, error } = await answerOf(computing, { ...cuda, LIBTORCH: real });
      expect([status, error?.code]).toEqual([1, "LIBTORCH_MISSING"]);
      expect(error?.message).toContain(`there is no ${join(addonFolder, "transfer_limits_cuda.node")}`);
      expect(error?.message).toMatch(/build-native\.mjs --cuda/);
      expect(error?.message).toContain("TRANSFER_LIMITS_FLAVOUR=cpu");
    },
  );

  describe.skipIf(!existsSync(join(addonFolder, "transfer_limits_cuda.node")))("that was built", () => {
    it("says beside a LibTorch for the CPU that it lacks a CUDA part, and how to come by one", async () => {
      const folder = libTorchWith({ without: /cuda(_linalg)?\.so$/ });
      const { status, error } = await answerOf(computing, { ...cuda, LIBTORCH: folder });
      expect([status, error?.code]).toEqual([1, "LIBTORCH_MISSING"]);
      expect(error?.message).toContain(`libtorch_cuda.so lies in ${join(folder, "lib")}`);
      expect(error?.message).toMatch(/doctor --install --cuda/);
    });

    it("says which of CUDA's libraries is missing, and how to come by it", async () => {
      const folder = libTorchWith({ without: /^libcu(blas|dnn)/ });
      const { status, error } = await answerOf(computing, { ...cuda, LIBTORCH: folder });
      expect([status, error?.code]).toEqual([1, "LIBTORCH_MISSING"]);
      expect(error?.message).toMatch(/lib\w+\.so\.\d+: cannot open shared object file/);
      expect(error?.message).toMatch(/doctor --install --cuda/);
    });

    it("is left for the one for the CPU where nobody asked for it", async () => {
      const { status, addon } = await answerOf(["doctor"], { LIBTORCH: real, TRANSFER_LIMITS_FLAVOUR: "" });
      expect(status).toBe(0);
      expect(addon?.detail).toMatch(/, for the CPU, by /);
    });
  });
});
