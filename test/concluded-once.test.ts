import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { StudyResults } from "../dist/results/study.js";
import { summariseResults } from "../dist/statistics/study-summary.js";
import { runStudy } from "../dist/study/run/run.js";
import { tinyStudy } from "./study-fixture.js";

/** What follows from all cells together. */
const conclusions = [
  "scores",
  "claims",
  "answers",
  "counts",
  "findings",
  "meanDistances",
  "relations",
] as const;

describe("what follows from all cells of a study", () => {
  let folder: string;
  let results: StudyResults;
  const afterEach: StudyResults[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "transfer-limits-"));
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
    const study = tinyStudy(folder, "results", {
      tasks: ["super-resolution"],
      comparators: ["fine-tuned", "random-weights"],
      claims: { margins: { "super-resolution": 0.2 } },
    });
    const onProgress = ({ kind }: { kind: string }) => {
      if (kind !== "cell-done") return;
      afterEach.push(JSON.parse(readFileSync(join(folder, "results", "results.json"), "utf8")));
    };
    results = await runStudy(study, { onProgress });
  }, 300_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("is concluded once, at the end: no cell waits for it, however many there are", () => {
    expect(afterEach.length).toBeGreaterThanOrEqual(3);
    for (const one of afterEach) {
      expect(one.cells.some(({ status }) => status === "done") || one.pretraining.length > 0).toBe(true);
      for (const name of conclusions) expect(one, name).not.toHaveProperty(name);
    }
    for (const name of conclusions) expect(results, name).toHaveProperty(name);
    const file = JSON.parse(readFileSync(join(folder, "results", "results.json"), "utf8")) as StudyResults;
    expect(file.claims).toEqual(results.claims);
  });

  it("is the same where a report concludes it from results that came before the end, by the study's margins", () => {
    const { claims, scores } = summariseResults(afterEach.at(-1) as StudyResults);
    expect(claims).toEqual(results.claims);
    expect(scores).toEqual(results.scores);
    expect(claims.map(({ equivalence }) => equivalence.margin)).toEqual(claims.map(() => 0.2));
    expect(claims.length).toBeGreaterThan(0);
  });
});
