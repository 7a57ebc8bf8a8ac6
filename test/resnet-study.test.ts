import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { paperTasks } from "../dist/common/vocabulary.js";
import { openCheckpoint } from "../dist/models/checkpoints/checkpoint-file.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import type { StudyResults } from "../dist/results/study.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { planStudy } from "../dist/study/plan/plan.js";
import { runStudy } from "../dist/study/run/run.js";
import { quickStudy, readResults } from "./study-fixture.js";

let folder: string;
let results: StudyResults;

const model = {
  name: "resnet",
  encoder: { family: "resnet-3d", channels: 3, features: 2, blocks: [1, 1, 1, 1] },
  pretrain: { epochs: 2, batchSize: 2, learningRate: 1e-3, decoderDim: 8 },
  decoder: { kind: "upernet", hidden: 4, auxiliary: 4 },
  denoiser: { kind: "unetr", featureSize: 4 },
  classifier: { bottleneck: 4 },
  subpixel: { featureSize: 2 },
} satisfies StudyInput["models"][number];

const study = (): StudyInput => ({
  ...quickStudy(folder, "results"),
  models: [model],
  tasks: [
    { kind: "pirads-classification", positiveFrom: 3 },
    "lesion-segmentation",
    "super-resolution",
    "distortion-correction",
    { kind: "modality-translation", timeSteps: 20, samplingSteps: 2 },
  ],
  comparators: ["fine-tuned", "pretrained", "random-weights"],
  untrainedHead: "trained",
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-resnet-study-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 11, voxels: [48, 48, 16] });
  await runStudy(study());
  results = await readResults(join(folder, "results"));
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a study of a 3D ResNet", () => {
  it("runs every task, from pretraining to distances", () => {
    expect(results.pretraining).toMatchObject([{ model: "resnet", status: "done" }]);
    const losses = (results.pretraining[0]?.curve ?? []).map(({ trainingLoss }) => trainingLoss);
    expect(losses).toHaveLength(2);
    for (const loss of losses) expect(loss).toBeGreaterThan(0);
    for (const { id, status, reason, result } of results.cells) {
      expect([id, status, reason]).toEqual([id, "done", undefined]);
      expect(Number.isFinite(result?.metric.mean)).toBe(true);
    }
    expect(results.distances.map(({ name, task }) => `${name} ${task}`).sort()).toEqual(
      ["D2P", "D2R"].flatMap((name) => paperTasks.map((task) => `${name} ${task}`)).sort(),
    );
    for (const { name, medianHeuristic } of results.distances)
      if (name === "D2P") expect(medianHeuristic.biased).toBeGreaterThan(0);
  });

  it("trains the heads of the encoders that stay as they are, that with random weights on statistics of its cases", async () => {
    for (const { id, result, comparator } of results.cells) {
      if (comparator !== "pretrained" && comparator !== "random-weights") continue;
      expect(result?.curve).toHaveLength(2);
      expect(result?.network.trainable).toBeLessThan(result?.network.parameters as number);
      const file = await readSafetensors(join(folder, "results", "cells", id, "last.safetensors"));
      using variances = await file.tensor("encoder.layer4.0.bn3.running_var");
      // As drawn, each is 1.
      for (const variance of await variances.toArray()) expect(variance).not.toBe(1);
    }
  });

  it("keeps the encoder that it pretrained, with its statistics, under torchvision's names", async () => {
    const path = join(folder, "results", "cells", "resnet--pretraining", "encoder.safetensors");
    const file = await openCheckpoint(path);
    expect(file.metadata).toMatchObject({ pretraining: "masked-autoencoder" });
    expect(file.names).toContain("encoder.layer4.0.downsample.1.running_mean");
    expect(file.names.every((name) => /^encoder\.(conv1|bn1|layer[1-4])\./.test(name))).toBe(true);
  });

  it("plans batches of two where the deepest stage has one voxel", () => {
    const batches = (voxels: [number, number, number]) => {
      const resolved = resolveStudy({ ...study(), cohort: { manifest: "manifest.csv", voxels } }, "/data");
      if ("faults" in resolved) throw new Error(JSON.stringify(resolved.faults));
      const { cells } = planStudy(resolved.study);
      return Object.fromEntries(
        cells.flatMap(({ kind, task, training }) =>
          kind === "cell" && training !== null ? [[task as string, training.batchSize]] : [],
        ),
      );
    };
    expect(batches([32, 32, 32])["super-resolution"]).toBe(2);
    expect(batches([40, 32, 32])).toMatchObject({
      "lesion-segmentation": 1,
      "super-resolution": 1,
      "pirads-classification": 2,
    });
    // Super-resolution is shown half of the slices.
    expect(batches([32, 32, 64])).toMatchObject({ "lesion-segmentation": 1, "super-resolution": 2 });
  });

  it.each([
    [{ pretrain: { batchSize: 1 } }, "batchSize", /at least 2.*"resnet-3d".*32 voxels/],
    [{ pretrain: { batchSize: 2, method: "patch-contrast" } }, "method", /"masked-autoencoder".*"resnet-3d"/],
    [{ decoder: { kind: "conv1" } }, "kind", /"upernet" or "unetr".*"resnet-3d", but received "conv1"/],
  ])("is refused with %o, saying why", (changes, field, message) => {
    const resolved = resolveStudy({ ...study(), models: [{ ...model, ...changes }] }, "/data");
    expect(resolved).toEqual({
      faults: [
        expect.objectContaining({
          path: expect.arrayContaining([field]),
          message: expect.stringMatching(message),
        }),
      ],
    });
  });
});
