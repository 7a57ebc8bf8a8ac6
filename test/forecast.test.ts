import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Network, runStudy, type StudyEvent, Tensor, writePhantomCohort } from "../dist/index.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { loadStudy } from "../dist/study/plan/load-study.js";
import { type Forecast, forecastStudy } from "../dist/study/run/forecast.js";
import { cli } from "./cli-fixture.js";

const convolutional = {
  family: "convnext-v2-3d",
  channels: 3,
  depths: [1, 1, 1, 1],
  dims: [4, 8, 8, 16],
} as const;
const transformer = {
  family: "dino-vit",
  channels: 3,
  patch: 8,
  embedDim: 16,
  depth: 2,
  heads: 2,
  registers: 0,
  axisTokens: 2,
} as const;
const heads = {
  decoder: { kind: "upernet", hidden: 8, auxiliary: 4 },
  denoiser: { kind: "unetr", featureSize: 4 },
  subpixel: { featureSize: 4 },
} as const;

let folder = "";

/** A file of weights: as drawn, or all 0, an encoder that tells nothing of anything. */
async function writeWeights(name: string, encoder: typeof convolutional | typeof transformer, empty = false) {
  const network = await Network.create({ encoder: encoder as never, seed: 9 });
  if (empty) {
    for (const { name: parameter, shape } of network.parameters) {
      const zeros = Tensor.from(new Float32Array(shape.reduce((product, size) => product * size, 1)), shape);
      await network.assign({ [parameter]: zeros });
      zeros.dispose();
    }
  }
  await network.save(join(folder, name));
  network.dispose();
}

async function writeStudy(name: string, changes: Partial<StudyInput>): Promise<string> {
  const study = {
    name,
    cohort: { manifest: "cohort/manifest.csv", voxels: [32, 32, 16] },
    split: { train: 10, validation: 1, test: 3 },
    comparators: ["fine-tuned", "from-scratch"],
    ...changes,
    // Its weights were drawn, and never trained.
    execution: { threads: 1, cache: "cache", output: name, gate: "warn", ...changes.execution },
  };
  const path = join(folder, `${name}.yaml`);
  await writeFile(path, JSON.stringify(study));
  return path;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 14, seed: 3, voxels: [48, 48, 24] });
  await writeWeights("drawn.safetensors", convolutional);
  await writeWeights("empty.safetensors", convolutional, true);
  await writeWeights("vit.safetensors", transformer);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a forecast before anything is trained", () => {
  let path = "";
  let value: Forecast;
  beforeAll(async () => {
    path = await writeStudy("untrained", {
      models: [
        { name: "empty", encoder: convolutional, weights: "empty.safetensors", ...heads },
        { name: "drawn", encoder: convolutional, weights: "drawn.safetensors", ...heads },
        { name: "vit", encoder: transformer, weights: "vit.safetensors", ...heads, decoder: undefined },
        { name: "later", encoder: convolutional, pretrain: { epochs: 1, decoderDim: 8 }, ...heads },
      ] as StudyInput["models"],
    });
    const { status, stdout, stderr } = await cli("forecast", path, "--json");
    expect(stderr).not.toContain("error");
    expect(status).toBe(0);
    value = JSON.parse(stdout);
  }, 120_000);

  it("ranks every encoder for every task: classes by five scores, images by three", () => {
    expect(value.tasks.map(({ task, of }) => [task, of])).toEqual([
      ["pirads-classification", "cases"],
      ["lesion-segmentation", "voxels"],
      ["super-resolution", "voxels"],
      ["distortion-correction", "voxels"],
      ["modality-translation", "voxels"],
    ]);
    for (const { task, models } of value.tasks) {
      const known = Object.values(models[0]?.scores ?? {}).filter((score) => score !== null);
      expect(known).toHaveLength(task === "pirads-classification" || task === "lesion-segmentation" ? 5 : 3);
    }
  });

  it("finds nothing in an encoder whose weights are all 0, and something in one that sees the image", () => {
    for (const { task, models } of value.tasks) {
      const scores = models.find(({ model }) => model === "empty")?.scores;
      if (task === "pirads-classification") expect(scores?.linearProbe).toBeLessThanOrEqual(0.5);
      else if (task === "lesion-segmentation") expect(scores?.linearProbe).toBe(0.5);
      else expect(scores?.linearProbe).toBeLessThan(0.01);
    }
    const resolution = value.tasks.find(({ task }) => task === "super-resolution");
    expect(resolution?.models.at(-2)?.model).toBe("empty");
    for (const model of ["drawn", "vit"])
      expect(resolution?.models.find((one) => one.model === model)?.scores?.linearProbe).toBeGreaterThan(
        0.05,
      );
  });

  it("says which encoder cannot be scored yet, and why, and ranks it last", () => {
    for (const { models } of value.tasks)
      expect(models.at(-1)).toMatchObject({
        model: "later",
        scores: null,
        meanRank: null,
        reason: expect.stringContaining("not pretrained yet"),
      });
  });

  it("says that nobody knows how good it is", async () => {
    expect(Object.values(value.checked)).toEqual([null, null, null, null, null, null]);
    expect((await cli("forecast", path)).stdout).toContain("How good these forecasts are is not known");
  });

  it("keeps its scores, and is the same again", async () => {
    const kept = join(folder, "untrained", "forecast");
    const names = await readdir(kept);
    // Four models with random weights and three with their own, on five tasks.
    expect(names).toHaveLength(35);
    const before = await Promise.all(names.map(async (name) => (await stat(join(kept, name))).mtimeMs));
    const again = await forecastStudy(await loadStudy(path));
    expect(JSON.parse(JSON.stringify(again))).toEqual(value);
    expect(await Promise.all(names.map(async (name) => (await stat(join(kept, name))).mtimeMs))).toEqual(
      before,
    );
  });
});

describe("a forecast beside trainings", () => {
  let path = "";
  beforeAll(async () => {
    path = await writeStudy("trained", {
      models: [
        { name: "drawn", encoder: convolutional, weights: "drawn.safetensors", ...heads },
        { name: "vit", encoder: transformer, weights: "vit.safetensors", ...heads, decoder: undefined },
      ] as StudyInput["models"],
      tasks: ["lesion-segmentation", "super-resolution"],
      training: { epochs: 4, learningRate: 1e-3, validateEvery: 2 },
      split: { train: 4, validation: 1, test: 3 },
    });
  });

  it("shows the first 5 % of a training that was stopped on the way", async () => {
    const controller = new AbortController();
    const study = await loadStudy(path);
    const onProgress = (event: StudyEvent) => {
      if (event.kind === "epoch" && event.cell.comparator === "fine-tuned") controller.abort();
    };
    await expect(runStudy(study, { signal: controller.signal, onProgress })).rejects.toMatchObject({
      code: "ABORTED",
    });
    const models = (await forecastStudy(study)).tasks.flatMap((task) => task.models);
    const begun = models.filter(({ early }) => early !== null);
    expect(begun).toHaveLength(1);
    expect(begun[0]?.early).toMatchObject({ of: "training loss", epoch: 1, epochs: 4 });
    expect(begun[0]?.gain).toBeNull();
  }, 120_000);

  it("stands beside the gains once they are known, and is scored beside their mean", async () => {
    const study = await loadStudy(path);
    const results = await runStudy(study);
    const { tasks, checked } = await forecastStudy(study);
    for (const { task, models } of tasks)
      for (const { model, gain, early } of models) {
        const claim = results.claims?.find(
          (one) => one.task === task && one.model === model && one.reference === "from-scratch",
        );
        expect(gain).toBe(claim?.difference.estimate);
        const curves = results.cells.flatMap(({ result }) => result ?? []);
        const curve = (comparator: string) =>
          curves.find((one) => one.task === task && one.model === model && one.comparator === comparator)
            ?.curve;
        expect(early?.fineTuned).toBe(-(curve("fine-tuned")?.[0]?.trainingLoss as number));
        expect(early?.fromScratch).toBe(-(curve("from-scratch")?.[0]?.trainingLoss as number));
      }
    expect(checked.linearProbe).toMatchObject({ points: 4, better: false });
    expect(checked.early).toMatchObject({ points: 4 });
    // Of H-score and SFDA there is one task alone.
    expect(checked.sfda).toBeNull();
    const { stdout } = await cli("forecast", path);
    expect(stdout).toContain("None does better than the mean gain");
  }, 300_000);

  it("takes no result of the folder that the study, as it was changed, does not rest on", async () => {
    const other = JSON.parse(JSON.stringify(await loadStudy(path)));
    other.seed = 2;
    const { tasks } = await forecastStudy(other);
    const models = tasks.flatMap((task) => task.models);
    expect(models.length).toBeGreaterThan(0);
    expect(models.map(({ gain, early }) => [gain, early])).toEqual(models.map(() => [null, null]));
  });
});
