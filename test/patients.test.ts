import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { comparators, paperTasks } from "../dist/common/vocabulary.js";
import { writeReport } from "../dist/report/index.js";
import type { StudyResults } from "../dist/results/study.js";
import { runStudy } from "../dist/study/run/run.js";
import { shared, sharedMissing } from "./shared.js";

describe.skipIf(sharedMissing)("three patients (needs the shared folder beside the checkout)", () => {
  let folder: string;
  let results: StudyResults;
  const cohort = {
    manifest: shared("data/prostate/manifest.csv"),
    voxels: [64, 64, 24] as [number, number, number],
    crop: { around: "gland" as const, fieldOfView: [90, 90, 72] as [number, number, number] },
  };
  const output = () => join(folder, "results");

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-patients-"));
    results = await runStudy({
      name: "patients",
      cohort,
      split: { train: 2, validation: 0, test: 1 },
      models: [
        {
          name: "ProFound",
          encoder: "profound-demo",
          pretrain: { epochs: 1, batchSize: 2, decoderDim: 32 },
          decoder: { kind: "upernet", hidden: 32, auxiliary: 16 },
          subpixel: { featureSize: 8 },
          classifier: { bottleneck: 32 },
        },
      ],
      tasks: [
        "pirads-classification",
        "lesion-segmentation",
        "super-resolution",
        { kind: "distortion-correction", source: "rectum-or-behind-gland" },
        { kind: "modality-translation", samplingSteps: 2 },
      ],
      specialised: {
        "pirads-classification": "resnet-demo",
        "lesion-segmentation": "unet-3d-demo",
        "super-resolution": "transunet-demo",
        "distortion-correction": "vit-demo",
        "modality-translation": "ddpm-unet-demo",
      },
      training: { epochs: 1, learningRate: 1e-3, batchSize: 2 },
      execution: { jobs: 2, threads: 1, output: output() },
    });
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("go through all five tasks under every comparator, no rectum mask among them", () => {
    expect(results.cells.filter(({ status }) => status === "failed")).toEqual([]);
    expect(results.complete).toBe(true);
    expect(results.cohort.excluded).toEqual([]);
    expect(results.cells).toHaveLength(paperTasks.length * comparators.length);
    for (const { task, result } of results.cells) {
      expect(result?.metric.cases).toHaveLength(1);
      if (task === "pirads-classification") continue;
      const [only] = result?.metric.cases ?? [];
      // The one true negative of the three patients has no Dice, but may have a false alarm.
      if (task === "lesion-segmentation" && only?.case.startsWith("10795")) {
        expect(result?.metric).toMatchObject({ mean: null, reason: expect.stringContaining("lesion") });
        expect(only).toMatchObject({ value: null, falseAlarm: expect.any(Boolean) });
      } else expect(result?.metric.mean).toEqual(expect.any(Number));
    }
    expect(results.distances).toHaveLength(paperTasks.length * 3);
  });

  it("leave the specificity undefined, with the reason, and keep what a single test case does define", async () => {
    const classified = results.cells.filter(({ task }) => task === "pirads-classification");
    for (const { id, result } of classified) {
      expect(result?.metric).toMatchObject({
        mean: null,
        reason: "it has no negative case (PI-RADS lower than 3)",
        standardDeviation: null,
        secondary: { AUC: null, Accuracy: expect.any(Number) },
      });
      expect(result?.metric.confusion?.flat().reduce((sum, count) => sum + count, 0)).toBe(1);
      expect(result?.metric.cases[0]?.value).toBeGreaterThan(0);
      if (!id.startsWith("resnet") && !id.endsWith("trivial"))
        expect(existsSync(join(output(), "cells", id, "embeddings.safetensors"))).toBe(true);
    }
    const gains = results.gains.filter(({ task }) => task === "pirads-classification");
    expect(gains).toHaveLength(5);
    for (const gain of gains)
      expect(gain).toMatchObject({
        percent: null,
        reason: expect.stringMatching(/undefined on the test set/),
      });
    const csv = await readFile(join(output(), "results.csv"), "utf8");
    expect(csv).toMatch(
      /^Specificity at sensitivity 0\.9,pirads-classification,direct,ProFound,fine-tuned,,1,,$/m,
    );
  });

  it("are reported with what could not be concluded", async () => {
    const html = await readFile(await writeReport(output()), "utf8");
    expect(html).toContain(
      "Specificity at sensitivity 0.9 of PI-RADS classification is undefined on the test set of 1 case: " +
        "it has no negative case (PI-RADS lower than 3).",
    );
    expect(html).toContain("1 test case: means are rough");
  }, 120_000);

  it("are too few to train a classifier on one of them, which is said before any work", async () => {
    const output = join(folder, "one");
    const running = runStudy({
      name: "one",
      cohort,
      split: { train: 1, validation: 0, test: 2 },
      models: [{ name: "ProFound", encoder: "profound-demo", pretrain: {} }],
      tasks: ["pirads-classification"],
      specialised: { "pirads-classification": "resnet-demo" },
      comparators: ["specialised"],
      training: { epochs: 1 },
      execution: { threads: 1, output, cache: join(folder, "results", "cache") },
    });
    await expect(running).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(
        /tasks\[0\]: expected at least 2 cases .*in the train set .* there is 1\. Enlarge split\.train/,
      ),
    });
    expect(existsSync(output)).toBe(false);
  });
});
