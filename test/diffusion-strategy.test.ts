import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CaseVolumes, openCase } from "../dist/cohort/case-volumes.js";
import { readManifest } from "../dist/cohort/manifest.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { prepareCohort } from "../dist/cohort/preprocess.js";
import type { StudyEvent } from "../dist/common/progress.js";
import { randomStream } from "../dist/common/random.js";
import { isShared, type TaskVariant } from "../dist/common/vocabulary.js";
import { type Prediction, predictions } from "../dist/diffusion/prediction.js";
import { noiseSchedule } from "../dist/diffusion/schedule.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { Trainer } from "../dist/native/trainer.js";
import { writeReport } from "../dist/report/index.js";
import type { CellSummary, StudyResults } from "../dist/results/study.js";
import { taskSchema } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { type TaskSpec, taskOf } from "../dist/tasks/index.js";
import { quickStudy } from "./study-fixture.js";

let folder: string;
let volumes: CaseVolumes;
beforeAll(async () => {
  setThreads(1);
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-diffusion-strategy-"));
  const manifest = await writePhantomCohort(join(folder, "cohort"), {
    cases: 6,
    seed: 3,
    voxels: [32, 32, 16],
  });
  const prepared = await prepareCohort(
    await readManifest(manifest),
    { voxels: [32, 28, 16], crop: { around: "gland", fieldOfView: "whole" } },
    { cache: join(folder, "task-cache") },
  );
  volumes = await openCase(prepared.cases[0], "cpu");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const voxels = 16 * 32 * 28;
const floats = async (tensor: Tensor) => (await tensor.toArray()) as Float32Array;
const spec = (kind: TaskSpec["kind"], diffusion: object = {}) =>
  taskSchema.parse({ kind, diffusion: { timeSteps: 100, samplingSteps: 10, ...diffusion } }) as TaskSpec;
const eitherWay = ["super-resolution", "distortion-correction"] as const;

/** What a network answers that knows x_0, and so the noise in x_t = signal x_0 + deviation e. */
const knowing = (image: Float32Array, prediction: Prediction) => async (input: Tensor) => {
  const schedule = noiseSchedule("cosine", 100);
  const data = await floats(input);
  const t = Math.round(data[2 * voxels] * 100);
  const [signal, deviation] = [schedule.signal[t], schedule.noise[t]];
  const answer = image.map((value, index) => {
    const known = 2 * value - 1;
    const noise = (data[voxels + index] - signal * known) / deviation;
    return { noise, velocity: signal * noise - deviation * known, image: known }[prediction];
  });
  return Tensor.from(answer, [1, 1, ...input.shape.slice(2)]);
};

describe("a task that is learnt by diffusion", () => {
  it.each(
    eitherWay.flatMap((kind) =>
      predictions.flatMap((prediction) =>
        (["ddim", "ancestral", "dpm-solver++"] as const).map((s) => [kind, prediction, s] as const),
      ),
    ),
  )(
    "%s predicting the %s, by %s, gives the image where the network knows it",
    async (kind, prediction, sampler) => {
      const before = Tensor.live;
      const task = taskOf(spec(kind, { prediction, sampler }), "diffusion");
      {
        using sample = await task.sample(volumes, 3, randomStream(1, "draw"));
        using t2w = await volumes.load("t2w");
        const image = await floats(t2w);
        expect(await floats(sample.reference as Tensor)).toEqual(image);
        // What it is trained to answer is what a network answers that knows the image.
        using input = await Tensor.gather([sample.input], [0]);
        using known = await knowing(image, prediction)(input);
        const [wanted, aim] = [await floats(known), await floats(sample.target)];
        expect(aim.reduce((far, value, n) => Math.max(far, Math.abs(value - wanted[n])), 0)).toBeLessThan(
          1e-3,
        );
        const { signal } = new AbortController();
        using answer = (await task.answer?.(
          knowing(image, prediction),
          sample,
          randomStream(2, "a"),
          signal,
        )) as Tensor;
        const answered = await floats(answer);
        const furthest = answered.reduce((far, value, n) => Math.max(far, Math.abs(value - image[n])), 0);
        expect(furthest).toBeLessThan(1e-4);
        using target = await Tensor.gather([sample.reference as Tensor], [0]);
        expect((await task.judge(answer, target))[0].value).toBeCloseTo(1, 5);
        using picture = await task.picture(sample, answer);
        expect(picture.target.shape).toEqual([32, 28]);
      }
      expect(Tensor.live).toBe(before);
    },
  );

  it("shows super-resolution each coarse slice twice, and asks for as many slices as it shows", async () => {
    const task = taskOf(spec("super-resolution"), "diffusion");
    expect(task.shape).toMatchObject({ channels: 3, depthScale: 1, timed: true });
    using sample = await task.sample(volumes, 3, randomStream(1, "draw"));
    using t2w = await volumes.load("t2w");
    const [fine, shown] = [await floats(t2w), await floats(sample.input)];
    const slice = 32 * 28;
    for (let n = 0; n < voxels; n += 37) {
      const first = Math.floor(n / (2 * slice)) * 2 * slice + (n % slice);
      expect(shown[n]).toBeCloseTo((fine[first] + fine[first + slice]) / 2, 6);
    }
  });

  it("shows distortion correction the very distortion that regression is shown", async () => {
    const config = spec("distortion-correction");
    using direct = await taskOf(config).sample(volumes, 1, randomStream(4, "case"));
    using diffusion = await taskOf(config, "diffusion").sample(volumes, 3, randomStream(4, "case"));
    const [regressed, shown] = [await floats(direct.input), await floats(diffusion.input)];
    expect(shown.subarray(0, voxels)).toEqual(regressed);
    using t2w = await volumes.load("t2w");
    expect(regressed).not.toEqual(await floats(t2w));
  });

  it.each(eitherWay)("%s overfits the noise of one batch", async (kind) => {
    const task = taskOf(spec(kind, { intensityBins: 16 }), "diffusion");
    using network = await PlacedNetwork.build(
      {
        encoder: { family: "convnext-v2-3d", channels: 3, depths: [1, 1, 1, 1], dims: [8, 8, 8, 16] },
        head: { kind: "unetr", outputs: 1, featureSize: 4 },
        output: { bins: 16, low: -4, high: 4 },
      },
      { seed: 1 },
    );
    using trainer = await Trainer.create(network, { loss: task.loss([]) });
    using sample = await task.sample(volumes, 3, randomStream(11, "draw"));
    using input = await Tensor.gather([sample.input], [0]);
    using target = await Tensor.gather([sample.target], [0]);
    const losses: number[] = [];
    for (let step = 0; step < 60; step++)
      losses.push((await trainer.step(input, target, { learningRate: 5e-3, seed: step })).loss);
    expect(losses.at(-1)).toBeLessThan(0.75 * losses[0]);
  });

  it("is refused where it can be learnt in one way alone", () => {
    const segmentation = taskSchema.parse({ kind: "lesion-segmentation" }) as TaskSpec;
    expect(() => taskOf(segmentation, "diffusion")).toThrow(
      /"direct", the one strategy of lesion-segmentation/,
    );
    const translation = taskSchema.parse({ kind: "modality-translation" }) as TaskSpec;
    expect(() => taskOf(translation, "direct")).toThrow(/"diffusion", the one strategy/);
  });
});

describe("a study of both strategies", () => {
  let results: StudyResults;
  const events: StudyEvent[] = [];
  const study = () =>
    quickStudy(folder, "both", {
      tasks: eitherWay.map((kind) => ({
        kind,
        strategies: ["diffusion", "direct"],
        diffusion: { timeSteps: 20, samplingSteps: 3, training: { epochs: 1, batchSize: 2 } },
      })),
      specialised: {
        "super-resolution": { family: "unet-3d", features: 4, levels: 3 },
        "distortion-correction": { family: "unet-3d", features: 4, levels: 3 },
      },
    });
  beforeAll(async () => {
    results = await runStudy(study(), { onProgress: (event) => events.push(event) });
  }, 300_000);

  const variants = eitherWay.flatMap((task) =>
    (["direct", "diffusion"] as const).map((strategy): TaskVariant => ({ task, strategy })),
  );
  const cell = ({ task, strategy }: TaskVariant, comparator: CellSummary["comparator"]) => {
    const found = results.cells.filter(
      (one) => one.task === task && one.strategy === strategy && one.comparator === comparator,
    );
    expect(found).toHaveLength(1);
    return found[0];
  };
  const mean = (one: CellSummary) => one.result?.metric.mean;

  it("runs every cell: four of each strategy, and one specialised model a task", () => {
    expect(results.complete).toBe(true);
    expect(results.cells.map(({ id }) => id)).toEqual([
      ...eitherWay.flatMap((task) => [
        ...[task, `${task}--diffusion`].flatMap((name) =>
          ["fine-tuned", "pretrained", "random-weights", "from-scratch"].map(
            (comparator) => `profound--${name}--${comparator}--seed1`,
          ),
        ),
        `unet-3d--${task}--specialised--seed1`,
      ]),
      "interpolation--super-resolution--trivial",
      "input--distortion-correction--trivial",
    ]);
    for (const one of results.cells) expect(one.result?.strategy).toBe(one.strategy);
    expect(
      cell({ task: "super-resolution", strategy: "diffusion" }, "fine-tuned").result?.curve,
    ).toHaveLength(1);
    expect(cell({ task: "super-resolution", strategy: "direct" }, "fine-tuned").result?.curve).toHaveLength(
      2,
    );
    const told = events.flatMap((event) => (event.kind === "cell-done" ? [event.cell.strategy] : []));
    expect(told.filter((strategy) => strategy === "diffusion")).toHaveLength(8);
  });

  it("takes gains over the same strategy, and over the one specialised model", () => {
    for (const variant of variants) {
      const own = { task: variant.task, strategy: "direct" } as const;
      const gains = results.gains.filter(
        ({ task, strategy }) => task === variant.task && strategy === variant.strategy,
      );
      expect(gains.map(({ reference }) => reference)).toEqual([
        "random-weights",
        "pretrained",
        "from-scratch",
        "specialised",
        "trivial",
      ]);
      for (const { reference, fineTuned, referenceValue } of gains) {
        expect(fineTuned).toBe(mean(cell(variant, "fine-tuned")));
        expect(referenceValue).toBe(mean(cell(isShared(reference) ? own : variant, reference)));
      }
    }
  });

  it("measures distances between embeddings of the same strategy", async () => {
    const key = ({ task, strategy }: TaskVariant) => `${task} ${strategy}`;
    expect(results.distances.map((one) => `${key(one)} ${one.name}`).sort()).toEqual(
      variants.flatMap((variant) => ["D2R", "D2P", "D2S"].map((name) => `${key(variant)} ${name}`)).sort(),
    );
    const value = (variant: TaskVariant, name: string) =>
      results.distances.find((one) => key(one) === key(variant) && one.name === name)?.medianHeuristic.sigma;
    for (const task of eitherWay) {
      for (const name of ["D2R", "D2P", "D2S"])
        expect(value({ task, strategy: "direct" }, name)).not.toBe(
          value({ task, strategy: "diffusion" }, name),
        );
    }
  });

  it("tests both strategies on the same distorted cases", async () => {
    const input = async (strategy: TaskVariant["strategy"]) => {
      const { id } = cell({ task: "distortion-correction", strategy }, "fine-tuned");
      const file = await readSafetensors(join(folder, "both", "cells", id, "examples.safetensors"));
      using tensor = await file.tensor("input");
      return floats(tensor);
    };
    expect(await input("diffusion")).toEqual(await input("direct"));
  });

  it("says the strategy in every row of its CSV", async () => {
    const rows = parse(await readFile(join(folder, "both", "results.csv"), "utf8"), {
      columns: true,
    }) as Record<string, string>[];
    const gain = rows.filter(({ quantity, reference }) => quantity === "RPG" && reference === "from-scratch");
    expect(gain.map(({ task, strategy }) => [task, strategy])).toEqual(
      variants.map(({ task, strategy }) => [task, strategy]),
    );
    expect(rows.every(({ strategy }) => ["direct", "diffusion"].includes(strategy))).toBe(true);
  });

  it("does nothing again when it is run again", async () => {
    const again: StudyEvent[] = [];
    expect(await runStudy(study(), { onProgress: (event) => again.push(event) })).toEqual(results);
    expect(again.filter(({ kind }) => kind === "cell-started")).toEqual([]);
  });

  it("is reported with a section of each strategy, with pictures of all five comparators", async () => {
    const html = await readFile(await writeReport(join(folder, "both")), "utf8");
    expect(html).toContain('<section id="task-distortion-correction-diffusion"');
    expect(html).toContain("<h2>Distortion correction by diffusion</h2>");
    expect(html.includes("No pictures")).toBe(false);
  });
});
