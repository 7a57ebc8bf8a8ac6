import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { seedFor } from "../dist/common/random.js";
import { taskKinds } from "../dist/common/vocabulary.js";
import { Network } from "../dist/native/network.js";
import { setThreads } from "../dist/native/runtime.js";
import { BusyClock } from "../dist/study/busy-clock.js";
import { channelsShown } from "../dist/study/cell.js";
import { cohortOf, readCohort, type StudyCohort } from "../dist/study/cohort-file.js";
import { evaluate } from "../dist/study/evaluate.js";
import { checkStudy } from "../dist/study/load.js";
import { planStudy } from "../dist/study/plan.js";
import type { EpochRecord, StudyResults } from "../dist/study/results.js";
import { runStudy } from "../dist/study/run.js";
import type { Study, TaskConfig } from "../dist/study/schema.js";
import { factsOf, openCase } from "../dist/tasks/case-volumes.js";
import { taskOf } from "../dist/tasks/index.js";

describe("each specialised model, trained by a study as the demo does, but shorter", () => {
  let folder: string;
  let study: Study;
  let results: StudyResults;

  beforeAll(async () => {
    setThreads(1);
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-helps-"));
    const manifest = await writePhantomCohort(join(folder, "cohort"), {
      cases: 40,
      seed: 2,
      voxels: [32, 32, 16],
    });
    study = await checkStudy({
      name: "specialised",
      seed: 1,
      cohort: {
        manifest,
        voxels: [32, 32, 16],
        crop: { around: "gland", fieldOfView: [64, 64, 60] },
      },
      split: { train: 10, validation: 4, test: 1 },
      models: [{ name: "ProFound", encoder: "profound-demo" }],
      tasks: [
        {
          kind: "pirads-classification",
          // A specificity of few cases takes few values: this task, whose network is quick, sees them all.
          cohort: { manifest, split: { train: 24, validation: 12, test: 4 } },
          training: { epochs: 20, batchSize: 4 },
        },
        { kind: "lesion-segmentation", training: { epochs: 6 } },
        { kind: "super-resolution", training: { epochs: 2 } },
        { kind: "distortion-correction", maximumDisplacement: 4, training: { epochs: 4 } },
        {
          kind: "modality-translation",
          samplingSteps: 5,
          training: { epochs: 12, validateEvery: 12, learningRate: 0.004 },
        },
      ],
      specialised: {
        "pirads-classification": "resnet-demo",
        "lesion-segmentation": "unet-3d-demo",
        "super-resolution": "transunet-demo",
        "distortion-correction": "vit-demo",
        "modality-translation": "ddpm-unet-demo",
      },
      comparators: ["specialised"],
      training: { learningRate: 0.002, batchSize: 2, validateEvery: 2 },
      execution: { jobs: 2, threads: 1, output: join(folder, "results") },
    });
    results = await runStudy(study);
    expect(results.complete).toBe(true);
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each(taskKinds)(
    "has a better validation metric at its best epoch than as it was drawn: %s",
    async (kind) => {
      const config = study.tasks.find((one) => one.kind === kind) as TaskConfig;
      const task = taskOf(config);
      const cell = planStudy(study).cells.find((one) => one.task === kind);
      const result = results.cells.find((one) => one.task === kind)?.result;
      if (!cell || !result) throw new Error(`no cell of ${kind}`);
      const { split } = cohortOf((await readCohort(study.execution.output)) as StudyCohort, kind);
      const validation = await Promise.all(
        split.validation
          .filter((one) => task.missing(factsOf(one)) === null)
          .map((one) => openCase(one, "cpu")),
      );
      // The cell starts from the weights of this seed; the study never measures them untrained.
      const seed = seedFor(study.seed, "weights", cell.model, cell.seed);
      using network = await Network.build(cell.network, { seed });
      const channels = channelsShown(cell.network, task.shape.channels);
      const { assessment } = await evaluate(
        { task, network, channels, seed: study.seed, clock: new BusyClock(), features: null },
        validation,
        new AbortController().signal,
      );
      const best = result.curve.find(({ epoch }) => epoch === result.bestEpoch) as EpochRecord;
      console.log(
        "@@",
        kind,
        assessment.value,
        JSON.stringify(result.curve.map((c) => c.validationMetric)),
        result.cost.wallSeconds,
      );
      expect(assessment.value).toEqual(expect.any(Number));
      expect(best.validationMetric).toBeGreaterThan(assessment.value as number);
    },
    120_000,
  );
});
