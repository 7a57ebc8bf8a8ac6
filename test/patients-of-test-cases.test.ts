import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { runStudy } from "../dist/study/run/run.js";
import { readResults, tinyStudy } from "./study-fixture.js";

let folder: string;
/** Whose each case is, as the manifest says. */
const patientOf = new Map<string, string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-patients-of-"));
  const cohort = join(folder, "cohort");
  await writePhantomCohort(cohort, { cases: 6, seed: 3, voxels: [32, 32, 16] });
  const manifest = join(cohort, "manifest.csv");
  const [head, ...rows] = (await readFile(manifest, "utf8")).trim().split("\n");
  const paired = rows.map((row, index) => {
    const [id, , ...rest] = row.split(",");
    const patient = `patient ${Math.floor(index / 2)}`; // two scans of each
    patientOf.set(id, patient);
    return [id, patient, ...rest].join(",");
  });
  await writeFile(manifest, `${[head, ...paired].join("\n")}\n`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the scores of a study's test cases", () => {
  it("stand in results.json with the patient whom the manifest names, two scans of one patient with the same", async () => {
    await runStudy(
      tinyStudy(folder, "reference", {
        split: { train: 2, validation: 0, test: 1 },
        tasks: ["super-resolution"],
        training: { epochs: 1, learningRate: 1e-3 },
      }),
    );
    const { cells } = await readResults(join(folder, "reference"));
    expect(cells.length).toBeGreaterThan(0);
    for (const { result } of cells) {
      const cases = result?.metric.cases ?? [];
      expect(cases).toHaveLength(2);
      for (const { case: id, patient } of cases) expect(patient).toBe(patientOf.get(id));
      expect(new Set(cases.map(({ patient }) => patient)).size).toBe(1);
    }
  }, 300_000);
});
