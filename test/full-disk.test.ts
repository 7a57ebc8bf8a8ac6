import { execFileSync, spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { VolumeCache } from "../dist/cohort/cache.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { linkOrCopy, writeFileAtomically } from "../dist/common/atomic-file.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { runStudy } from "../dist/study/run/run.js";
import { readResults, tinyStudy } from "./study-fixture.js";

/** A disk of its own, in memory. */
const mount = (size: string, folder: string, options = ""): boolean =>
  spawnSync("mount", ["-t", "tmpfs", "-o", `${options}size=${size}`, "tmpfs", folder]).status === 0;
const unmount = (folder: string) => spawnSync("umount", ["--lazy", folder]);

const canMount = await (async () => {
  const folder = await mkdtemp(join(tmpdir(), "transfer-limits-mount-"));
  const can = mount("64k", folder);
  if (can) unmount(folder);
  await rm(folder, { recursive: true, force: true });
  return can;
})();

describe.skipIf(!canMount)("a full disk", () => {
  let folder: string;
  let disk: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-full-"));
    disk = join(folder, "disk");
    await mkdir(disk);
    if (!mount("256k", disk)) throw new Error("it could be mounted a moment ago");
  });
  afterAll(async () => {
    unmount(disk);
    await rm(folder, { recursive: true, force: true });
  });

  const full = (name: string) => ({
    code: "DISK_FULL",
    message: expect.stringMatching(new RegExp(`${name}.*[Ff]ree some space`, "s")),
  });

  it("is said of a text, a tensor and a copy that do not fit, with the file and the cure, and nothing of them stays", async () => {
    const megabyte = new Uint8Array(1 << 20);
    await writeFile(join(folder, "large"), megabyte);
    await expect(writeFileAtomically(join(disk, "text"), megabyte)).rejects.toMatchObject(full("text"));
    await expect(linkOrCopy(join(folder, "large"), join(disk, "copy"))).rejects.toMatchObject(full("copy"));
    using tensor = Tensor.from(new Float32Array(1 << 18), [1 << 18]);
    await expect(writeSafetensors(join(disk, "weights.safetensors"), { tensor })).rejects.toMatchObject(
      full("weights.safetensors"),
    );
    expect(await readdir(disk)).toEqual([]);
  });

  it("is said of the index of prepared cases", async () => {
    const cache = await VolumeCache.open(disk);
    const state = { path: "x".repeat(1 << 20), size: 1, modified: "1", inode: "1" };
    await expect(cache.remember("case", [state], "0".repeat(64))).rejects.toMatchObject({
      code: "DISK_FULL",
    });
    await rm(join(disk, "originals.jsonl"));
  });

  it("stops a study by that name, and once there is space it goes on to its end", async () => {
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
    const study = tinyStudy(folder, "disk/results", {
      tasks: ["lesion-segmentation"],
      comparators: ["random-weights"],
      execution: { cache: join(disk, "cache") },
    });
    await expect(runStudy(study)).rejects.toMatchObject({ code: "DISK_FULL" });
    execFileSync("mount", ["-o", "remount,size=64m", disk]);
    await runStudy(study);
    const { cells } = await readResults(join(disk, "results"));
    expect(cells.map(({ status }) => status)).toEqual(["done", "done"]);
    const left = await readdir(disk, { recursive: true });
    expect(left.filter((name) => name.includes("partial"))).toEqual([]);
    // Of each lock one file stays, by which its next holder knows its place.
    const locks = left.filter((name) => /lock/.test(name) && /\/\d+$/.test(name));
    expect(locks.length).toBe(new Set(locks.map((name) => name.replace(/\/\d+$/, ""))).size);
  }, 120_000);
});

describe("what the system refuses", () => {
  it("names the file and has a code of its own", async () => {
    const path = join(fileURLToPath(import.meta.url), "text"); // as if this file were a folder
    await expect(writeFileAtomically(path, "text")).rejects.toMatchObject({
      code: "BAD_FILE",
      message: expect.stringContaining(path),
    });
  });
});
