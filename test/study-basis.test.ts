import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { writeChecksums } from "../dist/common/checksums.js";
import { runStudy } from "../dist/study/run.js";
import type { StudyInput } from "../dist/study/schema.js";
import { readResults, tinyStudy, withoutCost } from "./study-fixture.js";

/** A finished study of two cells that train nothing, and one pretraining. */
describe("A folder of results", () => {
  let folder: string;
  let done: string;
  let manifest: string;
  const study = (output: string, changes: Partial<StudyInput> = {}) =>
    tinyStudy(folder, output, {
      tasks: ["lesion-segmentation"],
      comparators: ["pretrained", "random-weights"],
      ...changes,
    });
  /** The finished study, once more: to be damaged. */
  async function copyOf(name: string): Promise<string> {
    await cp(done, join(folder, name), { recursive: true });
    return name;
  }
  const refusal = (words: string) => ({ code: "BAD_CONFIG", message: expect.stringContaining(words) });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "transfer-limits-"));
    manifest = await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
    await runStudy(study("done"));
    done = join(folder, "done");
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("is gone on with where nothing changed, although the files beside the cells are lost", async () => {
    const output = await copyOf("unchanged");
    for (const name of ["study.resolved.json", "cohort.json"]) rmSync(join(folder, output, name));
    const before = await readResults(done);
    expect(withoutCost((await runStudy(study(output))).cells)).toEqual(withoutCost(before.cells));
  });

  it.each(["study.resolved.json", "cohort.json"])(
    "refuses another configuration without %s too",
    async (lost) => {
      const output = await copyOf(`configuration-${lost}`);
      rmSync(join(folder, output, lost));
      await expect(runStudy(study(output, { seed: 2 }))).rejects.toMatchObject({ code: "BAD_CONFIG" });
    },
  );

  it("names the cells that rest on another configuration", async () => {
    const output = await copyOf("named");
    rmSync(join(folder, output, "study.resolved.json"));
    const other = study(output, { alignment: { sigma: 2 } });
    await expect(runStudy(other)).rejects.toMatchObject(
      refusal(
        "rest on another configuration: profound--pretraining, profound--lesion-segmentation--pretrained",
      ),
    );
  });

  it("refuses labels and patients that changed, with and without its list of cases", async () => {
    const sound = join(folder, "sound.csv");
    copyFileSync(manifest, sound);
    const [header = "", first = "", ...rest] = readFileSync(manifest, "utf8").trimEnd().split("\n");
    const columns = header.split(",");
    for (const [column, value] of [
      ["pirads", "5"],
      ["pirads", "1"],
      ["patient", "somebody-else"],
    ] as const) {
      const fields = first.split(",");
      const place = columns.indexOf(column);
      if (fields[place] === value) continue;
      fields[place] = value;
      writeFileSync(manifest, [header, fields.join(","), ...rest, ""].join("\n"));
      for (const lost of [false, true]) {
        const output = await copyOf(`label-${value}-${lost}`);
        if (lost) rmSync(join(folder, output, "cohort.json"));
        await expect(runStudy(study(output)), `${column} ${value}`).rejects.toMatchObject({
          code: "BAD_CONFIG",
        });
      }
    }
    copyFileSync(sound, manifest);
  });

  it("refuses the results of another version of this package", async () => {
    const output = await copyOf("version");
    const cell = join(folder, output, "cells", "profound--pretraining");
    const file = join(cell, "pretraining.json");
    const result = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, JSON.stringify({ ...result, basis: { ...result.basis, package: "0.0.1" } }));
    await writeChecksums(cell);
    await expect(runStudy(study(output))).rejects.toMatchObject(
      refusal("were made by another version of this package (0.0.1; this is"),
    );
  });
});
