import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";

/** A folder that is gone when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "transfer-limits-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const versionHeader = (version: string) => {
  const [major, minor, patch] = version.split(".");
  return `#define TORCH_VERSION_MAJOR ${major}\n#define TORCH_VERSION_MINOR ${minor}\n#define TORCH_VERSION_PATCH ${patch}\n`;
};

/** The least that a shared library for this processor can be: a header that tells of nothing more, and a name to know it by. */
export const emptyLibrary = (name: string): string => {
  const header = Buffer.alloc(64);
  header.write("\x7fELF\x02\x01\x01", "latin1");
  header.writeUInt16LE(62, 18);
  return header.toString("latin1") + name;
};

/** The files by which a LibTorch is known, by their path: contents do not matter where nothing is loaded. */
export const libTorchFiles = (version: string): Record<string, string> => ({
  "lib/libtorch_cpu.so": emptyLibrary("cpu"),
  "lib/libc10.so": emptyLibrary("c10"),
  "include/torch/csrc/api/include/torch/torch.h": "",
  "include/torch/headeronly/version.h": versionHeader(version),
});

export function writeFiles(folder: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

/** A real wheel of these files, small, in `folder`; and how a lock file names it. */
export function makeWheel(
  folder: string,
  name: string,
  version: string,
  tags: string,
  files: Record<string, string>,
) {
  const info = `${name}-${version}.dist-info`;
  const contents = {
    ...files,
    [`${info}/METADATA`]: `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n`,
    [`${info}/WHEEL`]: `Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: ${tags}\n`,
    [`${info}/RECORD`]: "",
  };
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}-${version}-${tags}.whl`);
  const script = `
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    for name, text in json.loads(sys.argv[2]).items():
        wheel.writestr(zipfile.ZipInfo(name), text)`;
  const { status, stderr } = spawnSync("python3", ["-c", script, path, JSON.stringify(contents)], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  const sha256 = createHash("sha256").update(readFileSync(path)).digest("hex");
  return { path, name, version, sha256, bytes: statSync(path).size };
}
