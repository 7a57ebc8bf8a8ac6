import { existsSync } from "node:fs";
import { mkdir, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { removeLeftovers } from "../dist/study/cell-folder.js";
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

  it("is removed at once where only the holder of the lock writes", async () => {
    const folder = await temporaryFolder();
    const left = await Promise.all(
      [
        ["cache", ofTensors],
        ["cells", ofText],
        ["progress/one-cell", ofText],
        ["progress/one-cell", `network-3.${ofTensors}`],
        ["weights", ofText],
      ].map((parts) => put(join(folder, ...parts))),
    );
    const kept = await put(join(folder, "cache", "0123abcd.safetensors"));
    await removeLeftovers(folder, join(folder, "cache"), new Set());
    expect(left.filter(existsSync)).toEqual([]);
    expect(existsSync(kept)).toBe(true);
  });

  it("is removed after an hour where others may be writing: beside a report, and in a cache that studies share", async () => {
    const [folder, cache] = [await temporaryFolder(), await temporaryFolder()];
    const places = [folder, join(folder, "figures"), join(folder, "tables"), cache];
    const young = await Promise.all(places.map((place) => put(join(place, ofText), 55)));
    const old = await Promise.all(places.map((place) => put(join(place, ofTensors), 65)));
    await removeLeftovers(folder, cache, new Set());
    expect(old.filter(existsSync)).toEqual([]);
    expect(young.filter(existsSync)).toEqual(young);
  });
});
