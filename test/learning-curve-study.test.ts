import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { PreparedCase } from "../dist/cohort/preprocess.js";
import { writeReport } from "../dist/report/index.js";
import type { StudyResults } from "../dist/results/study.js";
import { trainingPart } from "../dist/study/cell/training-part.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { planStudy } from "../dist/study/plan/plan.js";
import { runStudy } from "../dist/study/run/run.js";
import { quickStudy, readResults } from "./study-fixture.js";

let folder: string;
let results: StudyResults;

const study = (output: string, changes: Partial<StudyInput> = {}): StudyInput => ({
  ...quickStudy(folder, output, {
    tasks: ["super-resolution"],
    comparators: ["fine-tuned", "from-scratch"],
    seeds: [1, 2],
    split: { train: 3, validation: 1, test: 2 },
    learningCurve: { patients: [1, 0.67] },
  }),
  ...changes,
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-curves-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 11, voxels: [32, 32, 16] });
  await runStudy(study("results"));
  results = await readResults(join(folder, "results"));
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const planOf = (changes: Partial<StudyInput>) => {
  const found = resolveStudy(study("planned", changes), "/");
  if ("faults" in found) throw new Error(JSON.stringify(found.faults));
  return planStudy(found.study).cells;
};

describe("a study with a learning curve", () => {
  it("plans the cells of fewer patients after all others, with their share of the work", () => {
    const cells = planOf({ seeds: [1] });
    const added = cells.slice(4).map(({ id, patients }) => [id, patients]);
    const of = (patients: number) =>
      [
        "profound--super-resolution--fine-tuned--seed1",
        "profound--super-resolution--from-scratch--seed1",
        "interpolation--super-resolution--trivial--seed1",
      ].map((id) => [`${id}--patients${patients}`, patients]);
    expect(added).toEqual([...of(1), ...of(0.67)]);
    const [full, part] = ["", "--patients1"].map(
      (end) =>
        cells.find(({ id }) => id === `profound--super-resolution--from-scratch--seed1${end}`)?.cost ?? 0,
    ) as [number, number];
    expect(part).toBeLessThan(full);
    expect(planOf({ learningCurve: null, seeds: [1] })).toEqual(cells.slice(0, 4));
  });

  it("trains on as many as it says, and keeps those cells apart from the whole ones", () => {
    expect(results.complete).toBe(true);
    expect(results.cells.map(({ result }) => result?.trainedOn)).toEqual(
      Array(5).fill({ patients: 3, cases: 3, asked: null }),
    );
    const parts = results.learningCurves?.cells ?? [];
    expect(parts).toHaveLength(12);
    for (const { patients, result, seed, comparator } of parts) {
      expect(result?.trainedOn).toEqual({
        patients: patients === 1 ? 1 : 2,
        cases: patients === 1 ? 1 : 2,
        asked: patients,
      });
      const whole = results.cells.find((cell) => cell.comparator === comparator && cell.seed === seed);
      if (!whole) continue;
      expect(result?.metric.cases.map(({ case: id }) => id)).toEqual(
        whole.result?.metric.cases.map(({ case: id }) => id),
      );
      if (comparator !== "trivial") expect(result?.metric.mean).not.toBe(whole.result?.metric.mean);
    }
  });

  it("says by comparator what each number of patients came to, and what pretraining is worth", async () => {
    const [curve] = results.learningCurves?.curves ?? [];
    const mean = (comparator: string, patients: number) => {
      const values = [...results.cells, ...(results.learningCurves?.cells ?? [])].flatMap(({ result }) =>
        result?.comparator === comparator && result.trainedOn?.patients === patients
          ? [result.metric.mean as number]
          : [],
      );
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    };
    expect(curve?.points.map(({ comparator, patients }) => [comparator, patients])).toEqual(
      ["fine-tuned", "from-scratch", "trivial"].flatMap((comparator) =>
        [1, 2, 3].map((n) => [comparator, n]),
      ),
    );
    for (const point of curve?.points ?? [])
      expect(point.mean).toBeCloseTo(mean(point.comparator, point.patients), 12);
    expect(curve?.worth?.most).toBe(2);
    expect(curve?.worth?.words).toMatch(/^Pretraining is worth .* patients? \(95 % interval .*\): /);
    expect(curve?.worth?.pretrainingHours).toBeGreaterThan(0);

    const html = await readFile(await writeReport(join(folder, "results")), "utf8");
    expect(html).toContain("Fewer patients");
    expect(html).toContain("Pretraining is worth");
    const figures = await readdir(join(folder, "results", "figures"));
    expect(figures.filter((name) => /^learning-curves.*\.svg$/.test(name)).length).toBeGreaterThan(0);
    const table = await readFile(join(folder, "results", "figures", "learning-curves.csv"), "utf8");
    expect(table.trim().split("\n")).toHaveLength(1 + 9);
    const csv = await readFile(join(folder, "results", "results.csv"), "utf8");
    expect(csv).toMatch(
      /^"?SSIM mean, trained on 2 patients"?,super-resolution,direct,profound,fine-tuned,/m,
    );
  });
});

describe("the smaller training sets", () => {
  const cases = Array.from({ length: 30 }, (_, index) => ({
    id: `case ${index}`,
    patient: `patient ${index % 20}`,
  })) as PreparedCase[];
  const part = (patients: number, seed: number) =>
    trainingPart({ seed: 1, seeds: [1, 2] }, { patients, seed }, cases).map(({ id }) => id);

  it("lie in every larger one, hold all cases of their patients, and are others for another seed", () => {
    for (const seed of [1, 2]) {
      for (const [smaller, larger] of [
        [1, 5],
        [5, 0.5],
        [0.5, 19],
      ] as const)
        expect(part(larger, seed)).toEqual(expect.arrayContaining(part(smaller, seed)));
      const ids = new Set(part(0.5, seed));
      const patients = new Set(cases.filter(({ id }) => ids.has(id)).map(({ patient }) => patient));
      expect(patients.size).toBe(10);
      expect(cases.filter(({ patient }) => patients.has(patient)).every(({ id }) => ids.has(id))).toBe(true);
    }
    expect(part(10, 1)).not.toEqual(part(10, 2));
  });

  it("do not move when another patient is left out", () => {
    const chosen = new Set(part(10, 1));
    const others = cases.filter(({ patient }) => patient !== "patient 3");
    const again = trainingPart({ seed: 1, seeds: [1] }, { patients: 10, seed: 1 }, others).map(
      ({ id }) => id,
    );
    const kept = [...chosen].filter((id) => others.some((one) => one.id === id));
    expect(again).toEqual(expect.arrayContaining(kept));
  });
});

it.each<[object, RegExp]>([
  [
    { learningCurve: { patients: [3] } },
    /patients\.0: expected fewer than the 3 patients of the training set/,
  ],
  [{ learningCurve: { patients: [1.5] } }, /patients\.0: expected a whole number, or a share below 1/],
  [{ learningCurve: { patients: [1, 1] } }, /patients\.1: 1 stands here twice/],
  [{ learningCurve: { patients: [] } }, /patients: expected at least 1 entry/],
  [{ learningCurve: { cases: [1] } }, /unknown key "cases"/],
  [{ learningCurve: { patients: [1] }, comparators: ["fine-tuned"] }, /from-scratch is not among them/],
])("a learning curve is refused as %j, saying why", (changes, message) => {
  const found = resolveStudy(study("refused", changes as never), "/");
  const faults = "faults" in found ? found.faults.map((one) => `${one.path.join(".")}: ${one.message}`) : [];
  expect(faults.join("\n")).toMatch(message);
});
