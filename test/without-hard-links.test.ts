import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { linkOrCopy } from "../dist/common/atomic-file.js";
import { runStudy } from "../dist/study/run/run.js";
import { readResults, spawnStudy, tinyStudy, withoutCost } from "./study-fixture.js";
import { temporaryFolder } from "./temporary-folder.js";

describe("another name for a complete file", () => {
  it("shares the bytes on the disk where that can be, and replaces what had the name", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "one"), "weights");
    await writeFile(join(folder, "other"), "older ones");
    await linkOrCopy(join(folder, "one"), join(folder, "other"));
    expect((await stat(join(folder, "other"))).ino).toBe((await stat(join(folder, "one"))).ino);
    await linkOrCopy(join(folder, "one"), join(folder, "other")); // it has that name already
    expect((await readdir(folder)).sort()).toEqual(["one", "other"]);
  });

  it("of a file that is not there is an error with its name, and leaves nothing", async () => {
    const folder = await temporaryFolder();
    await expect(linkOrCopy(join(folder, "none"), join(folder, "other"))).rejects.toMatchObject({
      code: "BAD_FILE",
      message: expect.stringContaining("none"),
    });
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("a study on a file system without hard links", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-links-"));
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("runs to its end, byte for byte as elsewhere, and keeps no file under two names", async () => {
    const pretrain = { epochs: 2, batchSize: 2, learningRate: 1e-3, decoderDim: 8 };
    const changes = {
      tasks: ["lesion-segmentation" as const],
      comparators: ["fine-tuned" as const],
      models: tinyStudy(folder, "x").models.map((model) => ({ ...model, pretrain })),
      execution: { checkpointEvery: 1 },
    };
    const without = fileURLToPath(new URL("without-hard-links.mjs", import.meta.url));
    const end = await spawnStudy(tinyStudy(folder, "without", changes), () => {}, {
      NODE_OPTIONS: `--import=${without}`,
    });
    expect(end).toEqual({ code: 0, signal: null });
    await runStudy(tinyStudy(folder, "with", changes));

    const cells = join(folder, "without", "cells");
    const weights = (await readdir(cells, { recursive: true })).filter((name) =>
      name.endsWith(".safetensors"),
    );
    expect(weights.length).toBeGreaterThan(4);
    for (const name of weights) {
      expect((await stat(join(cells, name))).nlink).toBe(1);
      const elsewhere = await readFile(join(folder, "with", "cells", name));
      expect((await readFile(join(cells, name))).equals(elsewhere), name).toBe(true);
    }
    const results = await readResults(join(folder, "without"));
    expect(results.cells.map(({ status }) => status)).toEqual(["done", "done"]);
    expect(withoutCost(results.cells)).toEqual(withoutCost((await readResults(join(folder, "with"))).cells));
  }, 120_000);
});
