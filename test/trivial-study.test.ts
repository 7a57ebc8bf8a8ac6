import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { paperTasks, type TaskName } from "../dist/common/vocabulary.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import type { CellResult } from "../dist/results/cell.js";
import type { StudyResults } from "../dist/results/study.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import * as metrics from "../dist/tasks/metrics.js";
import { quickStudy, readResults } from "./study-fixture.js";

const shape = [16, 32, 32] as const;
const plane = shape[1] * shape[2];

let folder: string;
let results: StudyResults;

/** Every task, one fine-tuned model, two seeds; the study names no other comparator. */
const study = (): StudyInput => ({
  ...quickStudy(folder, "results"),
  seeds: [4, 9],
  split: { train: 5, validation: 2, test: 4 },
  models: [
    {
      name: "profound",
      encoder: { family: "convnext-v2-3d", channels: 3, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] },
      pretrain: { epochs: 1, batchSize: 2, decoderDim: 8 },
      decoder: { kind: "upernet", hidden: 8, auxiliary: 4 },
      denoiser: { kind: "unetr", featureSize: 4 },
      subpixel: { featureSize: 4 },
      classifier: { bottleneck: 8 },
    },
  ],
  tasks: [
    "pirads-classification",
    "lesion-segmentation",
    "super-resolution",
    "distortion-correction",
    { kind: "modality-translation", samplingSteps: 2 },
  ],
  comparators: ["fine-tuned"],
  training: { epochs: 1 },
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-trivial-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 11, seed: 5, voxels: [32, 32, 16] });
  await runStudy(study());
  results = await readResults(join(folder, "results"));
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const cellsOf = (task: TaskName) =>
  results.cells.filter((cell) => cell.task === task && cell.comparator === "trivial");
const resultOf = (task: TaskName): CellResult => {
  const [cell] = cellsOf(task);
  if (!cell?.result) throw new Error(`${task}: ${cell?.reason ?? "no cell"}`);
  return cell.result;
};

type Role = "t2w" | "hbv" | "lesion";

/** The prepared cases of a set, with their volumes. */
async function casesOf(set: "train" | "validation" | "test") {
  const cohort = JSON.parse(await readFile(join(folder, "results", "cohort.json"), "utf8"));
  return (cohort.split[set] as { id: string; file: string; labels: { pirads: number } }[]).map(
    ({ id, file, labels: { pirads } }) => ({
      id,
      pirads,
      load: async (role: Role): Promise<Float32Array> => {
        using tensor = await (await readSafetensors(file)).tensor(role);
        return (await tensor.toArray()) as Float32Array;
      },
    }),
  );
}

/** Each case's value, by its id. */
const valuesOf = (result: CellResult) =>
  Object.fromEntries(result.metric.cases.map(({ case: id, value }) => [id, value]));

async function ssim(a: Float32Array, b: Float32Array): Promise<number> {
  return metrics.ssim3d({ data: a, shape: [...shape] }, { data: b, shape: [...shape] });
}

/** One slice of each test case, as the report draws it. */
async function pictures(id: string): Promise<Record<"input" | "target" | "prediction", Float32Array>> {
  const file = await readSafetensors(join(folder, "results", "cells", id, "examples.safetensors"));
  const entries = ["input", "target", "prediction"].map(async (name) => {
    using tensor = await file.tensor(name);
    return [name, (await tensor.toArray()) as Float32Array] as const;
  });
  return Object.fromEntries(await Promise.all(entries)) as Record<
    "input" | "target" | "prediction",
    Float32Array
  >;
}

describe("what a network must beat", () => {
  it("has one cell a task, also in a study that does not ask for it, whatever the seeds, and no network", async () => {
    expect(results.complete).toBe(true);
    for (const task of paperTasks) {
      const [cell, ...others] = cellsOf(task);
      expect(others).toEqual([]);
      expect(cell).toMatchObject({ status: "done", seed: 4, id: `${cell?.model}--${task}--trivial` });
      const result = resultOf(task);
      expect(result).toMatchObject({
        network: { architecture: "none", parameters: 0, trainable: 0 },
        curve: [],
        bestEpoch: null,
        cost: { device: "cpu", epochSeconds: [] },
      });
      const files = await readdir(join(folder, "results", "cells", result.id));
      const pictured = task === "pirads-classification" ? [] : ["examples.safetensors"];
      expect(files.sort()).toEqual(["SHA256SUMS", "cell.json", "curve.csv", ...pictured]);
    }
  });

  it("is tested on the cases, and by the metric, of the networks", () => {
    for (const task of paperTasks) {
      const networks = results.cells.filter((cell) => cell.task === task && cell.comparator === "fine-tuned");
      expect(networks).toHaveLength(2);
      for (const { result } of networks) {
        expect(resultOf(task).metric.name).toBe(result?.metric.name);
        const ids = (one?: CellResult) => one?.metric.cases.map(({ case: id }) => id);
        expect(ids(resultOf(task))).toEqual(ids(result));
        expect(Object.keys(resultOf(task).metric.secondary)).toEqual(
          Object.keys(result?.metric.secondary ?? {}),
        );
      }
    }
  });

  it("is the reference of every seed's fine-tuned model", () => {
    const over = results.gains.filter(({ reference }) => reference === "trivial");
    expect(over.map(({ task, seed }) => `${task} ${seed}`).sort()).toEqual(
      paperTasks.flatMap((task) => [`${task} 4`, `${task} 9`]).sort(),
    );
    for (const { task, referenceValue } of over) expect(referenceValue).toBe(resultOf(task).metric.mean);
    const claims = results.claims?.filter(({ reference }) => reference === "trivial") ?? [];
    expect(claims.map(({ task, seeds }) => [task, seeds])).toEqual(
      [...paperTasks]
        .map((task) => [task, [4, 9]])
        .filter(([task]) => claims.some((one) => one.task === task)),
    );
    expect(claims.length).toBeGreaterThan(0);
  });

  it("interpolates missing slices, and says which way was the better one on the validation set", async () => {
    const result = resultOf("super-resolution");
    const linear = (t2w: Float32Array) => {
      const coarse = (slice: number, voxel: number) =>
        ((t2w[2 * slice * plane + voxel] as number) + (t2w[(2 * slice + 1) * plane + voxel] as number)) / 2;
      return t2w.map((_, index) => {
        const at = Math.min(Math.max((Math.floor(index / plane) - 0.5) / 2, 0), 7);
        const below = Math.min(Math.floor(at), 6);
        const voxel = index % plane;
        return (below + 1 - at) * coarse(below, voxel) + (at - below) * coarse(below + 1, voxel);
      });
    };
    const expected: number[] = [];
    for (const one of await casesOf("validation")) {
      const t2w = await one.load("t2w");
      expected.push(await ssim(linear(t2w), t2w));
    }
    const [ofLinear, ofCubic] = result.trivial?.tried ?? [];
    expect(result.trivial?.chosenOn).toBe("validation");
    expect(ofLinear).toMatchObject({ answer: "linear interpolation" });
    expect(ofLinear?.value).toBeCloseTo(expected.reduce((sum, value) => sum + value, 0) / expected.length, 6);
    const best =
      (ofCubic?.value ?? 0) > (ofLinear?.value ?? 0) ? "cubic interpolation" : "linear interpolation";
    expect(result.trivial?.answer).toBe(best);
    expect(result.trivial?.validation).toBe(Math.max(ofLinear?.value ?? 0, ofCubic?.value ?? 0));
    if (best !== "linear interpolation") return;
    for (const one of await casesOf("test")) {
      const t2w = await one.load("t2w");
      expect(valuesOf(result)[one.id]).toBeCloseTo(await ssim(linear(t2w), t2w), 6);
    }
  });

  it("gives a distorted image back as it is", async () => {
    const result = resultOf("distortion-correction");
    const { input, target, prediction } = await pictures(result.id);
    expect(prediction).toEqual(input);
    expect(prediction).not.toEqual(target);
    expect(result.trivial).toEqual({
      answer: "the input as it is",
      chosenOn: null,
      tried: [],
      validation: expect.any(Number),
    });
  });

  it("translates by one monotone map, which errs no more on average than the mean of the training voxels", async () => {
    const result = resultOf("modality-translation");
    const { input, prediction } = await pictures(result.id);
    const sign = result.trivial?.detail === "falling" ? -1 : 1;
    const pairs = [...input].map((value, index) => [
      Math.floor(value * 256),
      sign * (prediction[index] as number),
    ]);
    pairs.sort(([a = 0], [b = 0]) => a - b);
    for (let index = 1; index < pairs.length; index++)
      expect(pairs[index]?.[1]).toBeGreaterThanOrEqual(pairs[index - 1]?.[1] as number);

    // Of the voxels whose T2W lies in one bin of a pool of one, the map is the mean; over all, it keeps their mean.
    const cases = await Promise.all(
      (await casesOf("train")).map(async (one) => ({
        t2w: await one.load("t2w"),
        hbv: await one.load("hbv"),
      })),
    );
    const mapped = new Map(
      [...input].map((value, index) => [Math.min(255, Math.floor(value * 256)), prediction[index]]),
    );
    let [voxels, sum, sumMapped] = [0, 0, 0];
    for (const { t2w, hbv } of cases)
      t2w.forEach((value, voxel) => {
        const answer = mapped.get(Math.min(255, Math.floor(value * 256)));
        if (answer === undefined) return;
        voxels++;
        sum += hbv[voxel] as number;
        sumMapped += answer;
      });
    expect(voxels).toBeGreaterThan(0.9 * cases.length * plane * shape[0]);
    expect(sumMapped / voxels).toBeCloseTo(sum / voxels, 2);
  });

  it("outlines lesions where enough of the training masks do", async () => {
    const result = resultOf("lesion-segmentation");
    const train = await Promise.all((await casesOf("train")).map((one) => one.load("lesion")));
    const counts = (train[0] as Float32Array).map(
      (_, voxel) => train.filter((mask) => (mask[voxel] as number) > 0.5).length,
    );
    const dice = (atLeast: number, mask: Float32Array) =>
      metrics.dice(
        counts.map((one) => Number(one >= atLeast)),
        mask.map((one) => Number(one > 0.5)),
      );
    const lesions = train.filter((mask) => mask.some((one) => one > 0.5));
    const means = [1, 2, 3, 4, 5].map(
      (atLeast) => lesions.reduce((sum, mask) => sum + dice(atLeast, mask), 0) / lesions.length,
    );
    const atLeast = 1 + means.indexOf(Math.max(...means));
    expect(result.trivial?.detail).toBe(`lesion in at least ${atLeast} of 5 training cases`);
    for (const one of await casesOf("test")) {
      const mask = await one.load("lesion");
      const value = valuesOf(result)[one.id];
      if (mask.some((voxel) => voxel > 0.5)) expect(value).toBeCloseTo(dice(atLeast, mask), 9);
      else expect(value).toBeNull();
    }
  });

  it("tells PI-RADS by the prior, or by intensities where these do better on the validation set", async () => {
    const result = resultOf("pirads-classification");
    const { tried = [], answer } = result.trivial ?? {};
    expect(tried.map(({ answer: name }) => name)).toEqual([
      "class prior",
      "logistic regression on intensity statistics",
    ]);
    const [prior, regression] = tried.map(({ value }) => value ?? Number.NEGATIVE_INFINITY) as [
      number,
      number,
    ];
    expect(answer).toBe(tried[regression > prior ? 1 : 0]?.answer);
    const confusion = result.metric.confusion ?? [];
    const truths = [0, 1, 2, 3].map((one) => confusion[one]?.reduce((sum, count) => sum + count, 0));
    const test = await casesOf("test");
    expect(truths).toEqual(
      [0, 1, 2, 3].map((one) => test.filter(({ pirads }) => Math.max(0, pirads - 2) === one).length),
    );
  });

  it("is not computed again by the next run, and the same when it is", async () => {
    const before = resultOf("lesion-segmentation");
    await rm(join(folder, "results", "cells", before.id), { recursive: true });
    const again = await runStudy(study());
    const metricsOf = (all: StudyResults) => all.cells.map(({ id, result }) => [id, result?.metric]);
    expect(metricsOf(again)).toEqual(metricsOf(results));
    const wall = (all: StudyResults, id: string) =>
      all.cells.find((cell) => cell.id === id)?.result?.cost.wallSeconds;
    const other = resultOf("super-resolution").id;
    expect(wall(again, other)).toBe(wall(results, other));
  }, 120_000);
});
