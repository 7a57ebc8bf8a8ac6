import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeSealedJson } from "../dist/common/sealed-json.js";
import type { Damage } from "../dist/common/set-aside.js";
import type { CellResult } from "../dist/results/cell.js";
import { cellFiles, studyPaths } from "../dist/results/paths.js";
import { readCell, readFailure, readPretraining } from "../dist/study/cell/cell-folder.js";
import { readCohort } from "../dist/study/plan/cohort-file.js";
import { SessionLog } from "../dist/study/run/sessions.js";
import { studyResults } from "./report-fixture.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-files-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const cell = (): CellResult => structuredClone(studyResults().cells[0]?.result as CellResult);

async function written(id: string, file: string, value: unknown): Promise<void> {
  await mkdir(studyPaths(folder).cell(id), { recursive: true });
  await writeFile(join(studyPaths(folder).cell(id), file), JSON.stringify(value));
}

describe("a finished cell's result", () => {
  it("is read as it was written", async () => {
    await written("one", cellFiles.result, cell());
    expect(await readCell(folder, "one")).toEqual(cell());
  });

  it("keeps a number that was not finite as one: JSON has none, and writes null", async () => {
    const result = cell();
    if (result.curve[0]) result.curve[0].trainingLoss = Number.NaN;
    await written("one", cellFiles.result, result);
    expect((await readCell(folder, "one"))?.curve[0]?.trainingLoss).toBeNaN();
  });

  it("is absent where nothing is there", async () => {
    expect(await readCell(folder, "one")).toBeNull();
    expect(await readPretraining(folder, "one")).toBeNull();
  });

  it("that holds something else is refused by file, field, what was expected, what came, and how to mend it", async () => {
    await written("one", cellFiles.result, {
      ...cell(),
      metric: { ...cell().metric, mean: "0.5" },
      seed: 1.5,
    });
    const error = await readCell(folder, "one").catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "BAD_FILE" });
    const { message } = error as Error;
    expect(message).toContain(join(folder, "cells", "one", "cell.json"));
    expect(message).toMatch(/expected number, received string\s+→ at metric\.mean/);
    expect(message).toMatch(/expected int, received number\s+→ at seed/);
    expect(message).toContain(`Move ${join(folder, "cells", "one")} away, and run the study again`);
  });

  it("of a pretraining likewise", async () => {
    await written("one", cellFiles.pretraining, { id: "one", model: "m", seed: 1 });
    await expect(readPretraining(folder, "one")).rejects.toThrow(/pretraining\.json.*at network/s);
  });
});

describe("what a study writes beside its cells", () => {
  const damages: Damage[] = [];
  const onDamage = (damage: Damage) => damages.push(damage);
  beforeEach(() => damages.splice(0));

  it("is not believed of a failure that names no reason", async () => {
    await mkdir(studyPaths(folder).cells);
    await writeSealedJson(studyPaths(folder).failure("one"), { id: "one", code: "INTERNAL" });
    expect(await readFailure(folder, "one")).toBeNull();
    await writeSealedJson(studyPaths(folder).failure("one"), { id: "one", code: "INTERNAL", reason: "x" });
    expect(await readFailure(folder, "one")).toEqual({ id: "one", code: "INTERNAL", reason: "x" });
  });

  it.each([
    [
      "sessions.json",
      () => SessionLog.open(folder, onDamage),
      { sessions: [{ started: 5 }] },
      /sessions\[0\]\.started/,
    ],
    ["cohort.json", () => readCohort(folder, onDamage), { manifest: "m.csv", cases: "all" }, /at cases/],
  ])(
    "is set aside, with the field that is wrong, where %s is sealed but holds something else",
    async (name, read, value, field) => {
      await writeSealedJson(join(folder, name), value);
      await read();
      expect(damages).toMatchObject([{ file: join(folder, name), reason: expect.stringMatching(field) }]);
      expect(await readdir(join(folder, "set-aside"))).toEqual([name]);
    },
  );
});
