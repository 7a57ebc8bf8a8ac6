import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { writeReport } from "../dist/report/index.js";
import type { StudyResults } from "../dist/results/study.js";
import { computeClaims, computeIntervals } from "../dist/statistics/index.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import { runStudy } from "../dist/study/run/run.js";
import { setMetricOf, valueOverSet } from "../dist/tasks/set-metrics.js";
import { quickStudy, readResults } from "./study-fixture.js";

const detection = {
  kind: "detection",
  name: "lesions",
  images: ["t2w", "adc"],
  mask: "lesion",
  fewestVoxels: 3,
  prior: 0.05,
} as const;

describe("A study of phantoms whose lesions are to be detected", () => {
  let folder: string;
  let results: StudyResults;
  const output = () => join(folder, "results");
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-detection-"));
    await writePhantomCohort(join(folder, "cohort"), { cases: 16, seed: 4, voxels: [32, 32, 16] });
    await runStudy(
      quickStudy(folder, "results", {
        split: { train: 5, validation: 2, test: 9 },
        seeds: [1, 2, 3],
        tasks: [
          { ...detection, images: [...detection.images] },
          { kind: "classification", name: "grade", label: "pirads", metric: "auc", positive: [3, 4, 5] },
          { kind: "classification", name: "agreement", label: "pirads", metric: "kappa" },
        ],
        specialised: {
          detection: { family: "unet-3d", features: 4, levels: 3 },
          classification: "resnet-demo",
        },
        comparators: ["fine-tuned", "from-scratch", "specialised"],
        training: { epochs: 2, learningRate: 3e-3 },
        models: quickStudy(folder, "results").models.map((model) => ({
          ...model,
          classifier: { bottleneck: 8 },
          pretrain: { ...model.pretrain, epochs: 1 },
        })),
      }),
    );
    results = await readResults(output());
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const done = (task: string) =>
    results.cells.flatMap((cell) => (cell.task === task && cell.result ? cell.result : []));

  it("tests every comparator and what takes no network by the PI-CAI score, and what it is made of", () => {
    const cells = done("lesions");
    expect(cells.map(({ comparator }) => comparator).sort()).toEqual(
      ["fine-tuned", "from-scratch", "specialised"].flatMap((name) => [name, name, name]).concat("trivial"),
    );
    for (const { metric } of cells) {
      expect(metric.name).toBe("PI-CAI score");
      expect(metric.standardDeviation).toBeNull();
      expect(Object.keys(metric.secondary)).toEqual([
        "Average precision",
        "AUC",
        "Sensitivity at 0.5 false positives a case",
        "Sensitivity at 1 false positives a case",
        "Sensitivity at 2 false positives a case",
      ]);
      const { "Average precision": precision, AUC: area } = metric.secondary as Record<string, number>;
      expect(metric.mean).toBeCloseTo(((precision as number) + (area as number)) / 2, 12);
      expect(metric.cases).toHaveLength(9);
      for (const { value, positive, found } of metric.cases) {
        expect(positive).toBe((found?.lesions ?? 0) > 0);
        expect(found?.candidates.length).toBeLessThanOrEqual(5);
        for (const { confidence } of found?.candidates ?? [])
          expect(confidence).toBeLessThanOrEqual(value as number);
      }
      expect(valueOverSet("Average precision", metric.cases)).toBeCloseTo(precision as number, 12);
    }
    const [trivial] = cells.filter(({ comparator }) => comparator === "trivial");
    expect(trivial?.trivial?.answer).toMatch(/^mean training mask/);
    // A mean mask alone says the same of every case: half of all pairs of cases are told apart.
    if (trivial?.trivial?.answer === "mean training mask")
      expect(trivial.metric.secondary.AUC).toBeCloseTo(0.5, 12);
  });

  it("judges classes by the AUC, and by kappa, with the others beside them", () => {
    for (const { metric } of done("grade")) {
      expect([metric.name, ...Object.keys(metric.secondary)]).toEqual([
        "AUC",
        "Specificity at sensitivity 0.9",
        "Quadratic weighted kappa",
        "Accuracy",
      ]);
      expect(valueOverSet("AUC", metric.cases)).toBeCloseTo(metric.mean as number, 12);
    }
    for (const { metric } of done("agreement")) {
      expect([metric.name, ...Object.keys(metric.secondary)]).toEqual([
        "Quadratic weighted kappa",
        "Specificity at sensitivity 0.9",
        "AUC",
        "Accuracy",
      ]);
      if (metric.mean !== null)
        expect(valueOverSet("Quadratic weighted kappa", metric.cases)).toBeCloseTo(metric.mean, 12);
    }
  });

  it("gives intervals and claims to metrics that only the whole test set has", () => {
    const intervals = results.intervals ?? computeIntervals(done("lesions"));
    const of = (task: string, metric: string) =>
      intervals.filter((one) => one.task === task && one.metric === metric);
    expect(of("lesions", "PI-CAI score").map(({ method }) => method)).toContain("stratified bootstrap");
    expect(of("lesions", "Average precision").length).toBeGreaterThan(0);
    expect(of("lesions", "AUC")[0]?.method).toBe("DeLong");
    expect(of("grade", "AUC")[0]?.method).toBe("DeLong");
    expect(of("agreement", "Quadratic weighted kappa")[0]?.method).toBe("bootstrap");
    const claims = results.claims ?? computeClaims(done("lesions"));
    const ours = claims.filter(({ task }) => task === "lesions");
    expect(ours.map(({ reference }) => reference).sort()).toEqual(["from-scratch", "specialised", "trivial"]);
    for (const { metric, difference, patients } of ours) {
      expect(setMetricOf(metric)).not.toBeNull();
      expect(patients).toBe(9);
      expect(difference.low).toBeLessThanOrEqual(difference.estimate);
      expect(difference.high).toBeGreaterThanOrEqual(difference.estimate);
    }
  });

  it("is reported", async () => {
    await writeReport(output());
  });
});

describe("Detection in a study file", () => {
  const columns = {
    images: { t1: {}, flair: {} },
    masks: { tumour: {} },
    labels: { site: { kind: "class", classes: ["left", "right"] } },
  } as const;
  const faultsOf = (task: object): string => {
    const made = resolveStudy(
      {
        name: "faults",
        cohort: { manifest: "m.csv", voxels: [16, 16, 16], columns },
        models: [{ name: "one", encoder: "profound-demo", pretrain: {} }],
        tasks: [task],
      },
      tmpdir(),
    );
    return "faults" in made
      ? made.faults.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n")
      : "";
  };
  it.each<[object, RegExp | ""]>([
    [{ kind: "detection", mask: "tumour" }, ""],
    [{ kind: "detection", mask: "tumor" }, /tasks\.0\.mask: .*Did you mean "tumour"/],
    [{ kind: "detection", mask: "tumour", images: ["t1", "t2"] }, /tasks\.0\.images\.1: .*received "t2"/],
    [{ kind: "detection", mask: "tumour", images: ["t1", "t1"] }, /images\.1: expected each image once/],
    [{ kind: "detection", mask: "tumour", threshold: 0 }, /threshold/],
    [{ kind: "detection", mask: "tumour", leastOverlap: 0 }, /leastOverlap/],
    [{ kind: "classification", label: "site", metric: "auc" }, ""],
    [
      { kind: "classification", label: "site", metric: "kappa" },
      /tasks\.0\.metric: .*no order.*ordered: true/,
    ],
    [{ kind: "classification", label: "site", metric: "kappa", ordered: true }, ""],
    [{ kind: "classification", label: "site", metric: "accuracy" }, /metric/],
  ])("%j is right, or told what is wrong", (task, message) => {
    if (message === "") expect(faultsOf(task)).toBe("");
    else expect(faultsOf(task)).toMatch(message);
  });
});
