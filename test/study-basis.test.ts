import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { writeChecksums } from "../dist/common/checksums.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { quickStudy, readResults, withoutCost } from "./study-fixture.js";

/** A finished study of two cells that train nothing, and one pretraining. */
describe("A folder of results", () => {
  let folder: string;
  let done: string;
  let manifest: string;
  const study = (output: string, changes: Partial<StudyInput> = {}) =>
    quickStudy(folder, output, {
      tasks: ["lesion-segmentation"],
      comparators: ["pretrained", "random-weights"],
      ...changes,
    });
  /** The finished study, once more: to be damaged. */
  async function copyOf(name: string): Promise<string> {
    await cp(done, join(folder, name), { recursive: true });
    return name;
  }
  /** Runs on, and answers why cells were moved away and which were worked on. */
  async function goOn(output: string, changes: Partial<StudyInput> = {}) {
    const away: Record<string, string> = {};
    const worked: string[] = [];
    const results = await runStudy(study(output, changes), {
      onProgress: (event) => {
        if (event.kind === "cell-moved-away") away[event.id] = event.reason;
        if (event.kind === "cell-started") worked.push(event.cell.id);
      },
    });
    return { results, away, worked: worked.sort() };
  }
  const all = () => readdirSync(join(done, "cells")).sort();

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
    "is told from that of another configuration without %s too",
    async (lost) => {
      const output = await copyOf(`configuration-${lost}`);
      rmSync(join(folder, output, lost));
      const { away, worked } = await goOn(output, { seed: 2 });
      expect(worked).toEqual(all());
      expect(Object.keys(away).sort()).toEqual(all());
    },
    60_000,
  );

  it("is told from that of other labels and patients, of the cells that see them, with and without its list of cases", async () => {
    const sound = join(folder, "sound.csv");
    copyFileSync(manifest, sound);
    const [header = "", first = "", ...rest] = readFileSync(manifest, "utf8").trimEnd().split("\n");
    const columns = header.split(",");
    for (const [column, value, seen] of [
      ["patient", "somebody-else", all()],
      // No pretraining looks at a label; the task groups its test cases by this one.
      ["pirads", "", all().filter((id) => id !== "profound--pretraining")],
    ] as const) {
      const fields = first.split(",");
      fields[columns.indexOf(column)] = value;
      writeFileSync(manifest, [header, fields.join(","), ...rest, ""].join("\n"));
      for (const lost of [false, true]) {
        const output = await copyOf(`label-${value}-${lost}`);
        if (lost) rmSync(join(folder, output, "cohort.json"));
        const { away } = await goOn(output);
        expect(Object.keys(away).sort(), column).toEqual(expect.arrayContaining(seen));
        for (const id of seen) expect(away[id]).toMatch(/^changed: /);
        for (const reason of Object.values(away))
          expect(reason).toMatch(/set: .*other voxels, labels, patients or order|starts from/);
      }
    }
    copyFileSync(sound, manifest);
  }, 240_000);

  it("is told from that of the same cases in another order", async () => {
    const sound = readFileSync(manifest, "utf8");
    const [header = "", ...rows] = sound.trimEnd().split("\n");
    writeFileSync(manifest, [header, ...rows.reverse(), ""].join("\n"));
    try {
      const { worked } = await goOn(await copyOf("reversed"));
      expect(worked).toContain("profound--pretraining");
    } finally {
      writeFileSync(manifest, sound);
    }
  }, 60_000);

  it("is told from that of another version of this package", async () => {
    const output = await copyOf("version");
    const id = "profound--pretraining";
    const cell = join(folder, output, "cells", id);
    const file = join(cell, "pretraining.json");
    const result = JSON.parse(readFileSync(file, "utf8"));
    for (const basis of [undefined, { ...result.basis, numbers: 0, hash: "another" }]) {
      writeFileSync(file, JSON.stringify({ ...result, basis }));
      await writeChecksums(cell);
      const { worked, away } = await goOn(output);
      expect(worked).toEqual([id]);
      expect(away[id]).toMatch(
        basis === undefined
          ? /made by another version of this package/
          : /this version of the package gives other numbers/,
      );
    }
    expect(withoutCost((await readResults(join(folder, output))).cells)).toEqual(
      withoutCost((await readResults(done)).cells),
    );
  }, 60_000);
});
