import { existsSync } from "node:fs";
import { mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { LockWatch } from "../dist/common/lock.js";
import { studyPaths } from "../dist/results/paths.js";
import { CellClaim } from "../dist/study/cell/cell-claim.js";
import { removeLeftovers } from "../dist/study/cell/cell-folder.js";
import { temporaryFolder } from "./temporary-folder.js";

const uuid = "7e5e7c1c-9f0a-4f43-8c39-0c8b2d0a9d11";
const ofText = `.${uuid}.partial`;
const ofTensors = "0123abcd.safetensors.00ff12ab34cd56ef.partial";

describe("what killed processes left of files that they were writing", () => {
  const put = async (path: string, minutesAgo = 0) => {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, "half of it");
    const then = new Date(Date.now() - minutesAgo * 60_000);
    await utimes(path, then, then);
    return path;
  };

  it("is removed at once where only the holder of the study's lock writes", async () => {
    const folder = await temporaryFolder();
    const left = await Promise.all(
      [
        ["cache", ofTensors],
        ["jobs", ofText],
        ["weights", ofText],
      ].map((parts) => put(join(folder, ...parts))),
    );
    const kept = await put(join(folder, "cache", "0123abcd.safetensors"));
    await removeLeftovers(folder, join(folder, "cache"));
    expect(left.filter(existsSync)).toEqual([]);
    expect(existsSync(kept)).toBe(true);
  });

  it("is removed by the next who claims its cell, who goes on from the state of training of the last claim", async () => {
    const folder = await temporaryFolder();
    const { cellLock, progress } = studyPaths(folder);
    const left = await Promise.all(
      [
        [cellLock("one"), "work-3", "partial", "cell.json"],
        [cellLock("one"), "left-6f1c", "cell.json"],
        [progress("one"), "3", ofText],
        [progress("one"), "3", `network-3.${ofTensors}`],
        [progress("one"), "1", "progress.json"],
      ].map((parts) => put(join(...parts))),
    );
    await put(join(progress("one"), "3", "progress.json"));
    await put(join(cellLock("one"), "4"));
    await writeFile(join(cellLock("one"), "4"), '{"held":false}\n');
    const claim = (await CellClaim.take(folder, "one", new LockWatch(cellLock("one")))) as CellClaim;
    expect(left.filter(existsSync)).toEqual([]);
    expect(claim.progress).toBe(join(progress("one"), "5"));
    expect(await readdir(progress("one"))).toEqual(["5"]);
    expect(await readdir(claim.progress)).toEqual(["progress.json"]);
    await claim.release();
    expect(await readdir(cellLock("one"))).toEqual(["6"]);
  });

  it("is removed after an hour where others may be writing: beside a report, and in a cache that studies share", async () => {
    const [folder, cache] = [await temporaryFolder(), await temporaryFolder()];
    const places = [folder, join(folder, "figures"), join(folder, "tables"), cache];
    const young = await Promise.all(places.map((place) => put(join(place, ofText), 55)));
    const old = await Promise.all(places.map((place) => put(join(place, ofTensors), 65)));
    await removeLeftovers(folder, cache);
    expect(old.filter(existsSync)).toEqual([]);
    expect(young.filter(existsSync)).toEqual(young);
  });
});
