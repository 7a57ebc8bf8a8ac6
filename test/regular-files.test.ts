import { execFileSync } from "node:child_process";
import { mkdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { VolumeCache } from "../dist/cohort/cache.js";
import { readExclusionList } from "../dist/cohort/exclusion-list.js";
import { readManifest } from "../dist/cohort/manifest.js";
import { readRegularFile, readRegularFileSync, readRegularText } from "../dist/common/regular-file.js";
import { OpenedFile } from "../dist/models/checkpoints/opened-file.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { readStored } from "../dist/native/stored-tensor.js";
import { decodeVolume } from "../dist/native/volumes.js";
import { writeReport } from "../dist/report/index.js";
import { progressOf } from "../dist/study/cell/cell-claim.js";
import { readCell, readFailure, readPretraining } from "../dist/study/cell/cell-folder.js";
import { CheckpointFolder } from "../dist/study/cell/checkpoint.js";
import { readCohort } from "../dist/study/plan/cohort-file.js";
import { loadStudy } from "../dist/study/plan/load-study.js";
import { temporaryFolder } from "./temporary-folder.js";

/** A pipe that nobody writes to: whoever opens it as a file waits for ever. */
async function pipeAt(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  execFileSync("mkfifo", [path]);
  return path;
}

describe("a file that is read as a whole", () => {
  it("comes byte for byte, also through a link, and from /proc, where files say that they are empty", async () => {
    const folder = await temporaryFolder();
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * index) % 256));
    await writeFile(join(folder, "bytes"), bytes);
    await symlink("bytes", join(folder, "link"));
    expect((await readRegularFile(join(folder, "link"))).equals(bytes)).toBe(true);
    expect(await readRegularText("/proc/self/status")).toContain(`Pid:\t${process.pid}\n`);
  });

  it("may have as many bytes as the limit says and not one more", async () => {
    const path = join(await temporaryFolder(), "bytes");
    await writeFile(path, "12345");
    expect(await readRegularText(path, 5)).toBe("12345");
    expect(readRegularFileSync(path, 5).toString()).toBe("12345");
    expect(() => readRegularFileSync(path, 4)).toThrow(/at most 4 bytes but it has 5/);
    await expect(readRegularFile(path, 4)).rejects.toMatchObject({
      code: "BAD_FILE",
      message: expect.stringContaining("at most 4 bytes but it has 5"),
    });
  });

  it("costs nothing where it is far larger than it may be", async () => {
    const path = join(await temporaryFolder(), "huge");
    await writeFile(path, "");
    await truncate(path, 2 ** 40); // a hole: it takes no space
    await expect(readRegularFile(path)).rejects.toMatchObject({ code: "BAD_FILE" });
  });

  it("that is not there is the system's error", async () => {
    await expect(readRegularFile(join(await temporaryFolder(), "none"))).rejects.toMatchObject({
      code: "ENOENT",
    });
  });

  it("is refused where it is a pipe, a folder, a device or a socket", async () => {
    const folder = await temporaryFolder();
    const socket = createServer().listen(join(folder, "socket"));
    onTestFinished(() => void socket.close());
    await new Promise((resolve) => socket.once("listening", resolve));
    const refusal = (kind: string) => ({
      code: "BAD_FILE",
      message: expect.stringContaining(`not a regular file but ${kind}`),
    });
    await expect(readRegularFile(await pipeAt(join(folder, "pipe")))).rejects.toMatchObject(
      refusal("a pipe"),
    );
    await expect(readRegularFile(folder)).rejects.toMatchObject(refusal("a folder"));
    await expect(readRegularFile("/dev/zero")).rejects.toMatchObject(refusal("a device"));
    await expect(readRegularFile(join(folder, "socket"))).rejects.toMatchObject(refusal("a socket"));
    for (const [name, kind] of [
      ["pipe", "a pipe"],
      [".", "a folder"],
    ] as const)
      expect(() => readRegularFileSync(join(folder, name))).toThrow(expect.objectContaining(refusal(kind)));
  });
});

describe("a pipe in the place of a file that a study reads is refused at once", () => {
  const message = expect.stringContaining("not a regular file but a pipe");

  it.each<[string, string, string, (path: string, folder: string) => Promise<unknown>]>([
    ["the study", "study.yaml", "BAD_CONFIG", loadStudy],
    ["the manifest", "manifest.csv", "BAD_MANIFEST", (path) => readManifest(path)],
    ["the patients to leave out", "patients.txt", "BAD_CONFIG", readExclusionList],
    ["the index of prepared cases", "originals.jsonl", "BAD_FILE", (_, folder) => VolumeCache.open(folder)],
    ["the cohort", "cohort.json", "BAD_FILE", (_, folder) => readCohort(folder, () => {})],
    ["a cell's result", "cells/x/cell.json", "BAD_FILE", (_, folder) => readCell(folder, "x")],
    ["a pretraining", "cells/x/pretraining.json", "BAD_FILE", (_, folder) => readPretraining(folder, "x")],
    ["a cell's failure", "cells/x.failed.json", "BAD_FILE", (_, folder) => readFailure(folder, "x")],
    [
      "a training's progress",
      "progress/x/3/progress.json",
      "BAD_FILE",
      async (_, folder) => new CheckpointFolder(await progressOf(folder, "x")).read(),
    ],
    ["weights", "weights.safetensors", "BAD_CHECKPOINT", readSafetensors],
    ["a checkpoint", "weights.pth", "BAD_CHECKPOINT", OpenedFile.open],
    [
      "one tensor of weights",
      "weights.bin",
      "BAD_FILE",
      (path) =>
        readStored({ path, offset: 0, dtype: "float32", shape: [1], strides: [1], littleEndian: true }),
    ],
    ["the results", "results.json", "BAD_INPUT", (_, folder) => writeReport(folder)],
  ])("%s", async (_, name, code, read) => {
    const folder = await temporaryFolder();
    const path = await pipeAt(join(folder, name));
    await expect(read(path, folder)).rejects.toMatchObject({ code, message });
    await rm(path);
  });
});

describe("a pipe that takes a file's place once that was looked at", () => {
  it("is not waited for where a checkpoint is read: the file was changed", async () => {
    const path = join(await temporaryFolder(), "weights.pth");
    await writeFile(path, "weights");
    const opened = await OpenedFile.open(path);
    expect((await opened.read(0, 3)).toString()).toBe("wei");
    await rm(path);
    await pipeAt(path);
    const refusal = {
      code: "BAD_CHECKPOINT",
      message: expect.stringMatching(/changed while it was read.*not a regular file but a pipe/),
    };
    await expect(opened.read(0, 3)).rejects.toMatchObject(refusal);
    await expect(opened.sha256()).rejects.toMatchObject(refusal);
    await expect(opened.unchanged()).rejects.toMatchObject({ code: "BAD_CHECKPOINT" });
  });

  it.each([false, true])("nor where voxels are read at once (compressed: %s)", async (gzip) => {
    const folder = await temporaryFolder();
    const volume = { bytes: 8, gzip, firstByte: 0, voxels: 8, type: "uint8", slope: 1, intercept: 0 };
    await writeFile(join(folder, "voxels"), Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]));
    const read = await decodeVolume({ ...volume, path: join(folder, "voxels"), gzip: false });
    expect([...(read?.data ?? [])]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(await decodeVolume({ ...volume, path: await pipeAt(join(folder, "pipe")) })).toBeNull();
    expect(await decodeVolume({ ...volume, path: folder })).toBeNull();
  });
});
