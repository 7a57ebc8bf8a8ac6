import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ManifestFiles } from "../dist/cohort/manifest-files.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { writeReport } from "../dist/report/index.js";
import type { StudyResults } from "../dist/results/study.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { Study } from "../dist/study/config/schema.js";
import { apartFrom, divideCohorts, pretrainingCohort, readManifests } from "../dist/study/plan/divisions.js";
import { runStudy } from "../dist/study/run/run.js";
import { quickStudy, readResults } from "./study-fixture.js";

let folder: string;
let results: StudyResults;
type Splits = Record<"train" | "validation" | "test", string[]>;
let splits: { patients: Splits; others: { ofSeed: number; patients: Splits }[] };

const base = (output: string) =>
  quickStudy(folder, output, {
    tasks: ["super-resolution"],
    comparators: ["fine-tuned", "from-scratch", "random-weights"],
  });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-seeds-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 11, voxels: [32, 32, 16] });
  const vary = ["weights", "order", "pretraining", "split"] as const;
  await runStudy({ ...base("all"), seeds: { count: 2, vary: [...vary] } });
  results = await readResults(join(folder, "all"));
  splits = JSON.parse(await readFile(join(folder, "all", "splits.json"), "utf8"));
}, 240_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const testedBy = (seed: number, comparator: string) =>
  results.cells
    .find((cell) => cell.seed === seed && cell.comparator === comparator)
    ?.result?.metric.cases.map(({ patient }) => patient as string)
    .sort();

describe("a study whose two seeds vary everything", () => {
  it("is done, with an encoder and what takes no network each", () => {
    expect(results.complete).toBe(true);
    expect(results.pretraining.map(({ seed, status }) => [seed, status])).toEqual([
      [1, "done"],
      [2, "done"],
    ]);
    const [one, other] = results.pretraining.map(({ curve }) =>
      curve.map(({ trainingLoss }) => trainingLoss),
    );
    expect(one).not.toEqual(other);
    expect(
      results.cells.filter(({ comparator }) => comparator === "trivial").map(({ seed }) => seed),
    ).toEqual([1, 2]);
  });

  it("tests each seed's cells on the patients of its own division, as splits.json says", () => {
    const [second] = splits.others;
    expect(second?.ofSeed).toBe(2);
    const parts = [splits.patients, second?.patients as Splits];
    expect(parts[0]).not.toEqual(parts[1]);
    for (const [index, { train, validation, test }] of parts.entries()) {
      expect([...train, ...validation, ...test]).toHaveLength(6);
      expect(new Set([...train, ...validation, ...test]).size).toBe(6);
      for (const comparator of ["fine-tuned", "from-scratch", "random-weights", "trivial"])
        expect(testedBy(index + 1, comparator)).toEqual([...test].sort());
    }
    for (const { result } of results.cells) expect(result?.division).toEqual({ patients: 6, tested: 2 });
  });

  it("pretrains on nobody whom the same seed validates or tests on", () => {
    for (const { patients } of results.pretraining) expect(patients).toBe(3);
  });

  it("claims by divisions, and its report says so", async () => {
    for (const { dividedAnew, seeds } of results.claims ?? []) {
      expect(dividedAnew).toBe(true);
      expect(seeds).toEqual([1, 2]);
    }
    const report = await writeReport(join(folder, "all"));
    expect(await readFile(report, "utf8")).toMatch(/Each divides the patients anew/);
  });
});

describe("a study whose seeds vary", () => {
  const metricsOf = (of: StudyResults, comparator: string) =>
    of.cells.flatMap((cell) => (cell.comparator === comparator ? [cell.result?.metric] : []));

  it("the order alone draws the same weights for each, and trains them apart", async () => {
    await runStudy({ ...base("order"), seeds: { count: 2, vary: ["order"] } });
    const order = await readResults(join(folder, "order"));
    const [one, other] = metricsOf(order, "random-weights");
    expect(one).toEqual(other);
    const [trained, again] = metricsOf(order, "from-scratch");
    expect(trained).not.toEqual(again);
  }, 240_000);

  it("weights and order, as lists do, gives the numbers of that list", async () => {
    const comparators = ["from-scratch" as const];
    await runStudy({ ...base("counted"), comparators, seeds: { count: 2 } });
    await runStudy({ ...base("listed"), comparators, seeds: [1, 2] });
    const [counted, listed] = [
      await readResults(join(folder, "counted")),
      await readResults(join(folder, "listed")),
    ];
    expect(metricsOf(counted, "from-scratch")).toEqual(metricsOf(listed, "from-scratch"));
  }, 240_000);

  it("the split alone shares one encoder, which sees nobody whom any of them validates or tests", async () => {
    const manifest = join(folder, "many.csv");
    const rows = Array.from({ length: 40 }, (_, index) => `case${index},patient${index},t2w.nii`);
    await writeFile(manifest, ["case,patient,t2w", ...rows].join("\n"));
    const study = (vary: ("split" | "pretraining")[]) => {
      const found = resolveStudy(
        {
          ...base("split"),
          cohort: { manifest, voxels: [32, 32, 16] },
          split: { train: 30, validation: 4, test: 6 },
          seeds: { count: 3, vary },
        },
        "/",
      );
      if ("faults" in found) throw new Error(JSON.stringify(found.faults));
      return found.study;
    };
    const seenIn = async (of: Study) => {
      const manifests = await readManifests(of, new ManifestFiles());
      const divisions = divideCohorts(of, manifests);
      const settings = of.models[0]?.pretrain as never;
      const seen = await Promise.all(
        divisions.map(async (division) => {
          const cohorts = apartFrom(of, divisions, division);
          const { cases } = await pretrainingCohort("profound", settings, cohorts, manifests);
          return cases.map(({ patient }) => patient).sort();
        }),
      );
      return { seen, sets: divisions.map(({ cohorts }) => cohorts[0].patients) };
    };
    const shared = await seenIn(study(["split"]));
    const never = shared.sets.reduce(
      (left, { train }) => left.filter((patient) => train.includes(patient)),
      shared.sets[0]?.train ?? [],
    );
    expect(never.length).toBeGreaterThan(3);
    expect(never.length).toBeLessThan(30);
    for (const patients of shared.seen) expect(patients).toEqual([...never].sort());
    const own = await seenIn(study(["split", "pretraining"]));
    for (const [index, patients] of own.seen.entries())
      expect(patients).toEqual([...(own.sets[index]?.train ?? [])].sort());
  });
});
