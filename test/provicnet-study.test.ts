import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { paperTasks } from "../dist/common/vocabulary.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import type { StudyResults } from "../dist/results/study.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { readResults, tinyStudy } from "./study-fixture.js";

let folder: string;
let results: StudyResults;

const study = (): StudyInput => ({
  ...tinyStudy(folder, "results"),
  models: [
    {
      name: "provicnet",
      encoder: {
        family: "dino-vit",
        channels: 3,
        patch: 8,
        embedDim: 12,
        depth: 3,
        heads: 2,
        registers: 2,
        axisTokens: 2,
      },
      pretrain: { epochs: 2, batchSize: 2, learningRate: 1e-3, projection: { hidden: 16, bottleneck: 8 } },
      subpixel: { featureSize: 2 },
      denoiser: { kind: "unetr", featureSize: 2 },
    },
  ],
  tasks: [
    "lesion-segmentation",
    "super-resolution",
    "distortion-correction",
    { kind: "modality-translation", timeSteps: 20, samplingSteps: 2 },
  ],
  comparators: ["fine-tuned", "pretrained", "random-weights"],
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-provicnet-study-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 11, voxels: [48, 48, 16] });
  await runStudy(study());
  results = await readResults(join(folder, "results"));
}, 240_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a study of a vision transformer over slices", () => {
  it("pretrains it by patch contrast, and keeps its encoder alone", async () => {
    expect(results.pretraining).toMatchObject([{ model: "provicnet", status: "done" }]);
    for (const { trainingLoss } of results.pretraining[0]?.curve ?? [])
      expect(trainingLoss).toBeGreaterThan(0);
    const file = await readSafetensors(
      join(folder, "results", "cells", "provicnet--pretraining", "encoder.safetensors"),
    );
    expect(file.metadata).toMatchObject({ pretraining: "patch-contrast" });
    expect(file.names).toContain("axis_pos.weight");
    expect(file.names.every((name) => /^(backbone|axis_pos|axis_max)\./.test(name))).toBe(true);
  });

  it("fails where no patch holds enough of a lesion to teach anything, and says how to mend it", async () => {
    const { models, ...rest } = study();
    const [model] = models;
    const strict = await runStudy({
      ...rest,
      models: [
        {
          ...model,
          name: "strict",
          pretrain: { ...model?.pretrain, lesionShare: 0.99 },
        } as (typeof models)[0],
      ],
      tasks: ["lesion-segmentation"],
      comparators: ["fine-tuned"],
      execution: { ...rest.execution, output: join(folder, "strict") },
    });
    expect(strict.pretraining[0]).toMatchObject({ status: "failed" });
    expect(strict.pretraining[0]?.reason).toMatch(/lesionShare/);
    expect(strict.cells[0]).toMatchObject({ status: "failed" });
  });

  it("fine-tunes the head, the last two blocks and the norms by default", () => {
    const cells = results.cells.filter(({ comparator }) => comparator === "fine-tuned");
    expect(cells).toHaveLength(4);
    for (const { result } of cells) {
      expect(result?.network.trainable).toBeGreaterThan(0);
      expect(result?.network.trainable).toBeLessThan(result?.network.parameters as number);
    }
  });

  it("tests every cell and measures how far fine-tuning moved it", () => {
    for (const { id, status, reason, result } of results.cells) {
      expect([id, status, reason]).toEqual([id, "done", undefined]);
      expect(Number.isFinite(result?.metric.mean)).toBe(true);
    }
    expect(results.distances.map(({ name, task }) => `${name} ${task}`).sort()).toEqual(
      ["D2P", "D2R"].flatMap((name) => paperTasks.slice(1).map((task) => `${name} ${task}`)).sort(),
    );
    for (const { name, medianHeuristic } of results.distances)
      if (name === "D2P") expect(medianHeuristic.biased).toBeGreaterThan(0);
  });
});
