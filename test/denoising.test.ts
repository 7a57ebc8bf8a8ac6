import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CaseVolumes, openCase } from "../dist/cohort/case-volumes.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { randomStream } from "../dist/common/random.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import type { CellResult } from "../dist/results/cell.js";
import { taskSchema } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { withRicianNoise } from "../dist/tasks/denoising.js";
import { taskOf } from "../dist/tasks/index.js";
import { readResults, tinyStudy } from "./study-fixture.js";

const shape = [16, 32, 32];
const voxels = 16 * 32 * 32;
const constant = (value: number) => Tensor.from(new Float32Array(voxels).fill(value), shape);
const numbersOf = async (tensor: Tensor) => [...(await tensor.toArray())].map(Number);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-denoising-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function caseOf(value: number): Promise<CaseVolumes> {
  using image = constant(value);
  const file = join(folder, "case.safetensors");
  await writeSafetensors(file, { t2w: image });
  return openCase({ id: "a", patient: "a", labels: {}, file, volumes: ["t2w"], spacing: [3, 1, 1] }, "cpu");
}

describe("Rician noise", () => {
  it("is Rayleigh's where there is nothing: a mean of s √(π/2), a mean square of 2 s²", async () => {
    using nothing = constant(0);
    using noisy = await withRicianNoise(nothing, 0.1, randomStream(1, "noise"));
    const values = await numbersOf(noisy);
    expect(mean(values)).toBeCloseTo(0.1 * Math.sqrt(Math.PI / 2), 2);
    expect(mean(values.map((value) => value ** 2))).toBeCloseTo(2 * 0.1 ** 2, 3);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
  });

  it("has a mean square of x² + 2 s² everywhere, and a deviation of s where the signal is strong", async () => {
    using image = constant(0.8);
    using noisy = await withRicianNoise(image, 0.05, randomStream(2, "noise"));
    const values = await numbersOf(noisy);
    expect(mean(values.map((value) => value ** 2))).toBeCloseTo(0.8 ** 2 + 2 * 0.05 ** 2, 2);
    const middle = mean(values);
    expect(Math.sqrt(mean(values.map((value) => (value - middle) ** 2)))).toBeCloseTo(0.05, 2);
  });
});

describe("Denoising", () => {
  const spec = taskSchema.parse({ kind: "denoising", noise: 0.2 });

  it("shows the noisy image and wants the image, the same noise from the same stream and another from another", async () => {
    const volumes = await caseOf(0.5);
    const task = taskOf(spec);
    const sampleBy = async (seed: number) => {
      using sample = await task.sample(volumes, 2, randomStream(seed, "sample"));
      return { input: await numbersOf(sample.input), target: await numbersOf(sample.target) };
    };
    const [one, again, other] = [await sampleBy(1), await sampleBy(1), await sampleBy(2)];
    expect(one.target).toEqual(Array(voxels).fill(0.5));
    expect(one.input).toHaveLength(2 * voxels);
    expect(one.input.slice(0, voxels)).toEqual(one.input.slice(voxels));
    expect(again.input).toEqual(one.input);
    expect(other.input).not.toEqual(one.input);
    expect(task.chance).toBe("input");
  });

  it("is studied from end to end, by regression and by diffusion; smoothing beats the noisy image itself", async () => {
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 5, voxels: [32, 32, 16] });
    const { models, ...rest } = tinyStudy(folder, "results");
    await runStudy({
      ...rest,
      models: models.map((model) => ({ ...model, pretrain: { epochs: 1, batchSize: 2, decoderDim: 8 } })),
      tasks: [
        {
          kind: "denoising",
          strategies: ["direct", "diffusion"],
          diffusion: { samplingSteps: 2, intensityBins: null },
        },
      ],
      comparators: ["fine-tuned", "specialised", "trivial"],
      specialised: { denoising: "unet-3d-demo" },
      training: { epochs: 1, batchSize: 2 },
    });
    const results = await readResults(join(folder, "results"));
    expect(results.cells.map(({ status }) => status)).toEqual(Array(4).fill("done"));
    const trivial = results.cells.find(({ comparator }) => comparator === "trivial")?.result as CellResult;
    const tried = trivial.trivial?.tried ?? [];
    expect(tried.map(({ answer }) => answer)).toEqual([
      "the input as it is",
      ...[0.5, 0.75, 1, 1.5].map((voxels) => `Gaussian of ${voxels} voxels`),
    ]);
    expect(trivial.trivial?.answer).not.toBe("the input as it is");
    expect(trivial.metric.name).toBe("SSIM");
  }, 300_000);
});
