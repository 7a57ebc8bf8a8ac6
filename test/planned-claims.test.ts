import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { Claim } from "../dist/results/claims.js";
import { openClaims, plannedClaims } from "../dist/statistics/planned-claims.js";
import { simulateClaims } from "../dist/statistics/simulation.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { Study, StudyInput } from "../dist/study/config/schema.js";
import { planStudy } from "../dist/study/plan/plan.js";
import type { CohortPreview } from "../dist/study/plan/preview.js";
import { definitionOf } from "../dist/tasks/index.js";
import { cli, smallStudy } from "./cli-fixture.js";
import { writeStudyFolder } from "./report-fixture.js";

const studyOf = (changes: Partial<StudyInput>): Study => {
  const result = resolveStudy(
    {
      name: "planned",
      cohort: { manifest: "manifest.csv", voxels: [32, 32, 16] },
      models: [{ name: "model-0", encoder: "profound-demo", pretrain: {} }],
      comparators: ["fine-tuned", "from-scratch"],
      ...changes,
    } as StudyInput,
    "/data",
  );
  if ("faults" in result) throw new Error(JSON.stringify(result.faults));
  return result.study;
};

/** A test set of so many patients, as far as a plan looks at it. */
const tested = (study: Study, patients: number): CohortPreview[] =>
  [{ judged: study.tasks.map(({ kind }) => ({ task: kind, patients })) }] as unknown as CohortPreview[];

const modelsOf = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    name: `model-${index}`,
    encoder: "profound-demo" as const,
    pretrain: {},
  }));

const planned = (study: Study, patients: number, earlier: readonly Claim[] = []) =>
  plannedClaims(study, planStudy(study), tested(study, patients), earlier);

describe("what a plan says of intervals", () => {
  it.each([
    { models: 1, seeds: 2, patients: 60, spread: { seed: 0.1, patient: 0.05, interaction: 0.03 } },
    { models: 3, seeds: 2, patients: 37, spread: { seed: 0.05, patient: 0.05, interaction: 0.03 } },
    { models: 1, seeds: 3, patients: 37, spread: { seed: 0.05, patient: 0.05, interaction: 0.03 } },
    { models: 3, seeds: 3, patients: 20, spread: { seed: 0.15, patient: 0.05, interaction: 0.03 } },
    { models: 1, seeds: 5, patients: 148, spread: { seed: 0, patient: 0.1, interaction: 0.05 } },
  ])(
    "is within 20 % of what 500 studies of $models models, $seeds seeds and $patients patients come to",
    ({ models, seeds, patients, spread }) => {
      const study = studyOf({
        models: modelsOf(models),
        tasks: ["super-resolution"],
        seeds: Array.from({ length: seeds }, (_, index) => index + 1),
        claims: { expected: { "super-resolution": spread } },
      });
      const [claim] = planned(study, patients);
      let sum = 0;
      let count = 0;
      for (let index = 0; index < 500; index++) {
        const settings = {
          ...{ tasks: 1, models, seeds, patients },
          runSpread: spread.seed,
          patientSpread: spread.patient,
          restSpread: spread.interaction,
        };
        for (const { difference } of simulateClaims(settings, 31, index)) {
          sum += ((difference.high as number) - (difference.low as number)) / 2;
          count++;
        }
      }
      expect(count).toBe(500 * models);
      expect(claim).toMatchObject({ seeds, patients, models, spread, spreadFrom: "study" });
      expect((claim?.halfWidth as number) / (sum / count)).toBeGreaterThan(0.8);
      expect((claim?.halfWidth as number) / (sum / count)).toBeLessThan(1.2);
    },
    120_000,
  );

  it("is nothing with one seed, nor of specificity with two, and says why", () => {
    const one = planned(studyOf({ tasks: ["super-resolution"] }), 20);
    expect(one[0]).toMatchObject({
      halfWidth: null,
      detectable: null,
      reason: expect.stringContaining("one seed"),
    });
    const two = planned(studyOf({ tasks: ["pirads-classification"], seeds: [1, 2] }), 20);
    expect(two[0]).toMatchObject({ halfWidth: null, reason: expect.stringContaining("three seeds") });
    const three = planned(studyOf({ tasks: ["pirads-classification"], seeds: [1, 2, 3] }), 20);
    expect(three[0]?.halfWidth).toBeGreaterThan(0.3);
    expect(three[0]).toMatchObject({
      spreadFrom: "default",
      spread: definitionOf("pirads-classification").metric.spread,
    });
  });

  it("has a row for each task and reference that is run", () => {
    const study = studyOf({
      tasks: ["lesion-segmentation", "super-resolution"],
      seeds: [1, 2],
      comparators: ["fine-tuned", "from-scratch", "trivial"],
    });
    expect(planned(study, 30).map(({ task, reference }) => `${task} ${reference}`)).toEqual([
      "lesion-segmentation from-scratch",
      "lesion-segmentation trivial",
      "super-resolution from-scratch",
      "super-resolution trivial",
    ]);
  });
});

describe("an earlier study", () => {
  const settings = {
    ...{ tasks: 3, models: 4, seeds: 10, patients: 148, gain: 0.004 },
    ...{ runSpread: 0.02, patientSpread: 0.08, restSpread: 0.04 },
  };
  const earlier = simulateClaims(settings, 41);
  const study = studyOf({
    tasks: ["super-resolution"],
    seeds: [1, 2, 3],
    claims: { expected: { "super-resolution": { seed: 9, patient: 9, interaction: 9 } } },
  });

  it("gives the spread that its differences had, before what the study file says", () => {
    const [claim] = planned(study, 40, earlier);
    expect(claim?.spreadFrom).toBe("earlier");
    // The truth that it was drawn from; ten seeds of four models know the spread of seeds to about a tenth.
    expect((claim?.spread.seed as number) / 0.02).toBeGreaterThan(0.7);
    expect((claim?.spread.seed as number) / 0.02).toBeLessThan(1.3);
    expect((claim?.spread.patient as number) / 0.08).toBeGreaterThan(0.9);
    expect((claim?.spread.patient as number) / 0.08).toBeLessThan(1.1);
    expect((claim?.spread.interaction as number) / 0.04).toBeGreaterThan(0.95);
    expect((claim?.spread.interaction as number) / 0.04).toBeLessThan(1.05);
  });

  it("has its undetermined claims listed with what would settle them", () => {
    const open = openClaims(earlier);
    expect(open.map(({ model, task }) => `${model} ${task}`)).toEqual(
      earlier
        .filter(({ verdict }) => verdict === "undetermined")
        .map(({ model, task }) => `${model} ${task}`),
    );
    expect(open.length).toBeGreaterThan(0);
    for (const { wouldSettle, patients, seeds } of open) {
      if (wouldSettle?.patients != null) expect(wouldSettle.patients).toBeGreaterThan(patients);
      if (wouldSettle?.seeds != null) expect(wouldSettle.seeds).toBeGreaterThan(seeds);
    }
  });
});

describe("the command plan", () => {
  let folder = "";
  let file = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-"));
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 1, voxels: [24, 24, 16] });
    file = join(folder, "study.yaml");
    const study = smallStudy(
      "seeds: [1, 2, 3]",
      "claims: { expected: { lesion-segmentation: { seed: 0.01, patient: 0.1, interaction: 0.02 } } }",
    ).replace("test: 1", "test: 3");
    await writeFile(file, study);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("shows which gain the study finds, and by whose spread", async () => {
    const { status, stdout } = await cli("plan", file);
    expect(status).toBe(0);
    expect(stdout).toContain("What the study can find");
    expect(stdout).toMatch(
      /lesion-segmentation +from-scratch +3 +3 +±0\.\d+ +0\.\d+ +0\.02 .*the study file/,
    );
  });

  it("takes the spread of an earlier study, and says what would settle what it left open", async () => {
    const results = join(folder, "earlier");
    await mkdir(results);
    await writeStudyFolder(results, { tasks: ["lesion-segmentation"], seeds: [1, 2, 3], testCases: 12 });
    const { status, stdout } = await cli("plan", file, "--earlier", results, "--json");
    expect(status).toBe(0);
    const { claims, earlier } = JSON.parse(stdout);
    const one = claims.find(({ reference }: { reference: string }) => reference === "from-scratch");
    expect(one).toMatchObject({ spreadFrom: "earlier", seeds: 3, patients: 3 });
    expect(earlier.folder).toBe(results);
    expect(Array.isArray(earlier.open)).toBe(true);
    expect((await cli("plan", file, "--earlier", results)).stdout).toContain("the earlier study");
  });

  it("refuses a folder that holds no results", async () => {
    const { status, stderr } = await cli("plan", file, "--earlier", folder);
    expect(status).not.toBe(0);
    expect(stderr).toContain("results.json");
  });
});
