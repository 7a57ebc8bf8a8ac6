import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { cli } from "./cli-fixture.js";
import { readResults, tinyStudy, withoutCost } from "./study-fixture.js";

const inShell = (command: string) => promisify(execFile)("/bin/sh", ["-c", command]);

let folder: string;
beforeAll(async () => {
  // A path that a shell takes apart where it isn't quoted.
  folder = await mkdtemp(join(tmpdir(), "transfer-limits it's "));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const studyOf = (output: string): StudyInput =>
  tinyStudy(folder, output, { tasks: ["super-resolution"], comparators: ["fine-tuned", "specialised"] });

interface Planned {
  id: string;
  dependsOn: string[];
  command: string;
}

describe("The commands of plan --json, handed to a shell by whatever else hands out jobs", () => {
  it("end in the results of run, where each comes after those that it depends on", async () => {
    await runStudy(studyOf("reference"), { jobs: 1 });
    const path = join(folder, "study.json");
    await writeFile(path, JSON.stringify(studyOf("out")));
    const plan = await cli("plan", path, "--json");
    expect(plan.status, plan.stderr).toBe(0);
    const { cells } = JSON.parse(plan.stdout) as { cells: Planned[] };
    expect(cells.some(({ dependsOn }) => dependsOn.length > 0)).toBe(true);
    expect((await cli("prepare", path)).status).toBe(0);

    // The last first, as far as it may: nothing but dependsOn says what comes before what.
    const done = new Set<string>();
    while (done.size < cells.length) {
      const next = cells.findLast(
        ({ id, dependsOn }) => !done.has(id) && dependsOn.every((other) => done.has(other)),
      ) as Planned;
      await inShell(next.command);
      done.add(next.id);
    }
    const collect = await cli("collect", path, "--json");
    expect(collect.status, collect.stderr).toBe(0);
    const numbersOf = async (output: string) =>
      JSON.stringify(withoutCost(await readResults(join(folder, output))));
    expect(await numbersOf("out")).toBe(await numbersOf("reference"));
  }, 900_000);
});
