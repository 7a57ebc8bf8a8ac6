import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ManifestFiles } from "../dist/cohort/manifest-files.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { comparators } from "../dist/common/vocabulary.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { methodsText } from "../dist/report/methods-text.js";
import { summarise } from "../dist/report/report-summary.js";
import type { StudyResults } from "../dist/results/study.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { Study, StudyInput } from "../dist/study/config/schema.js";
import { checkFiles } from "../dist/study/plan/check-files.js";
import { planStudy } from "../dist/study/plan/plan.js";
import { runStudy } from "../dist/study/run/run.js";
import { quickStudy, readResults } from "./study-fixture.js";
import { pyramidStages, scriptEncoder } from "./torchscript-fixture.js";

let folder: string;
let results: StudyResults;

const small = { unetr: { kind: "unetr", featureSize: 2 }, subpixel: { featureSize: 2 } } as const;
const heads = {
  decoder: small.unetr,
  denoiser: small.unetr,
  subpixel: small.subpixel,
  classifier: { bottleneck: 4 },
};

const study = (): StudyInput => ({
  ...quickStudy(folder, "results"),
  models: [
    {
      name: "module",
      encoder: scriptEncoder("pyramid", { features: 10, stages: pyramidStages }),
      finetune: "partial",
      partialBlocks: 1,
      ...heads,
    },
    {
      name: "profound",
      encoder: "profound-demo",
      pretrain: { epochs: 1, batchSize: 2, learningRate: 1e-3, decoderDim: 8 },
      ...heads,
    },
  ],
  tasks: [{ kind: "pirads-classification", positiveFrom: 3 }, "super-resolution"],
  specialised: {
    "pirads-classification": { family: "resnet-3d", features: 2, blocks: [1, 1, 1, 1] },
    "super-resolution": { family: "unet-3d", features: 4, levels: 3 },
  },
  untrainedHead: "trained",
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-torchscript-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 11, voxels: [48, 48, 16] });
  await runStudy(study());
  results = await readResults(join(folder, "results"));
}, 600_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const cell = (comparator: string, task: string) => {
  const found = results.cells.find(
    (one) => one.comparator === comparator && one.task === task && one.model === "module",
  );
  if (found?.result === undefined) throw new Error(`no result of ${comparator} on ${task}`);
  return found.result;
};

const stateOf = (id: string, file = "last") =>
  readSafetensors(join(folder, "results", "cells", id, `${file}.safetensors`));

async function weightsOf(id: string, name: string): Promise<number[]> {
  using tensor = await (await stateOf(id)).tensor(name);
  return Array.from((await tensor.toArray()) as Float32Array);
}

describe("a study of a TorchScript encoder beside another", () => {
  it("finishes with all comparators, from the weights of the file to distances", () => {
    for (const { id, status, reason, result } of results.cells) {
      expect([id, status, reason]).toEqual([id, "done", undefined]);
      expect(Number.isFinite(result?.metric.mean) || result?.metric.reason).toBeTruthy();
    }
    for (const model of ["module", "profound"]) {
      const own = results.cells.filter((one) => one.model === model && one.task === "super-resolution");
      const shared = ["specialised", "trivial"];
      expect(own.map(({ comparator }) => comparator).sort()).toEqual(
        comparators.filter((name) => !shared.includes(name)).sort(),
      );
    }
    const distances = results.distances.filter(({ model }) => model === "module");
    expect(distances.map(({ name, task }) => `${name} ${task}`).sort()).toEqual(
      ["D2P", "D2R", "D2S"]
        .flatMap((name) => ["pirads-classification", "super-resolution"].map((task) => `${name} ${task}`))
        .sort(),
    );
  });

  it("starts each comparator from the right weights: the file's or drawn ones, and trains what it should", async () => {
    const tasks = ["pirads-classification", "super-resolution"];
    for (const task of tasks) {
      const [tuned, frozen, random, scratch] = await Promise.all(
        ["fine-tuned", "pretrained", "random-weights", "from-scratch"].map((comparator) =>
          Promise.all(
            ["encoder.stages.0.weight", "encoder.stages.4.weight"].map((name) =>
              weightsOf(cell(comparator, task).id, name),
            ),
          ),
        ),
      );
      // Of two blocks the last one is trained.
      expect(tuned?.[0]).toEqual(frozen?.[0]);
      expect(tuned?.[1]).not.toEqual(frozen?.[1]);
      expect(random?.[0]).not.toEqual(frozen?.[0]);
      expect(scratch?.[0]).not.toEqual(random?.[0]);
      const { trainable, parameters } = cell("fine-tuned", task).network;
      expect(trainable).toBeLessThan(parameters);
      expect(cell("from-scratch", task).network.trainable).toBe(parameters);
    }
  });

  it("says in results and report how its random weights were drawn", () => {
    // Five convolutions 3x3x3 of 1, 2, 4, 6, 8 and 10 channels, with biases.
    const count = 27 * (1 * 2 + 2 * 4 + 4 * 6 + 6 * 8 + 8 * 10) + 2 + 4 + 6 + 8 + 10;
    expect(cell("random-weights", "super-resolution").network.drawn).toEqual({ byRule: count, shuffled: 0 });
    expect(cell("fine-tuned", "super-resolution").network).not.toHaveProperty("drawn");
    expect(methodsText(results, summarise(results))).toContain(
      "The random weights of module, whose encoder came from a file: all 4,404 were drawn by the rule",
    );
  });

  it("says that nobody knows which patients the file's weights were made from", () => {
    expect(results.exposure).toContainEqual({
      model: "module",
      patients: null,
      overlap: { validation: [], test: [] },
    });
  });
});

describe("a plan with a TorchScript encoder", () => {
  const planned = (encoder: ReturnType<typeof scriptEncoder>, tasks: StudyInput["tasks"]) =>
    resolveStudy({ ...study(), models: [{ name: "module", encoder, ...heads }], tasks }, folder);

  it("refuses tasks that answer voxel by voxel where it returns no maps, with the reason", () => {
    expect(planned(scriptEncoder("small-scripted"), ["super-resolution"])).toEqual({
      faults: [
        expect.objectContaining({
          path: ["models", 0, "encoder", "stages"],
          message: expect.stringMatching(
            /feature maps that .*small-scripted\.pt returns.*none.*super-resolution/,
          ),
        }),
      ],
    });
    expect(planned(scriptEncoder("small-scripted"), ["pirads-classification"])).toHaveProperty("study");
  });

  it("refuses a module without trust before any work", () => {
    const { trust: _, ...encoder } = scriptEncoder("small-scripted");
    expect(planned(encoder as ReturnType<typeof scriptEncoder>, ["pirads-classification"])).toEqual({
      faults: [
        expect.objectContaining({
          path: ["models", 0, "encoder", "trust"],
          message: expect.stringMatching(/small-scripted\.pt runs code/),
        }),
      ],
    });
  });

  it.each([
    ["another hash", () => scriptEncoder("small-scripted", { sha256: "0".repeat(64) }), /its SHA-256 is/],
    ["other channels", () => scriptEncoder("small-scripted", { channels: 3 }), /take 1 channels/],
    ["NaN", () => scriptEncoder("not-a-number"), /NaN/],
    ["a tuple", () => scriptEncoder("pair"), /a tuple of 2/],
    ["a changed batch size", () => scriptEncoder("one-sample"), /features of 2 samples/],
    ["a module that throws", () => scriptEncoder("throws"), /exported to fail/],
    [
      "a file that is not there",
      () => scriptEncoder("throws", { file: "none.pt" }),
      /none\.pt but there is none/,
    ],
  ])("refuses %s after trying the module once", async (_, encoder, message) => {
    const { study } = planned(encoder(), ["pirads-classification"]) as { study: Study };
    expect(await checkFiles(study, planStudy(study), new ManifestFiles())).toEqual({
      faults: [
        expect.objectContaining({
          path: ["models", 0, "encoder"],
          message: expect.stringMatching(message),
        }),
      ],
    });
  });
});
