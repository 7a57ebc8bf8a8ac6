import { join } from "node:path";
import { writePhantomCohort } from "../../cohort/phantom.js";
import { TransferLimitsError, throwIfAborted } from "../../common/errors.js";
import { nativeSeconds } from "../../native/runtime.js";
import { quantile } from "../../statistics/sample-statistics.js";
import type { StudyInput } from "../../study/config/schema.js";
import { runStudy } from "../../study/run/run.js";
import type { BenchCase, BenchSettings } from "../case.js";
import { ratioOf, timingOf } from "../timing.js";

const split = { train: 6, validation: 2, test: 2 } as const;

/** A study as the demo's, on fewer phantoms: one foundation model, pretrained and fine-tuned, and its comparators. */
function study(settings: BenchSettings, name: string, changes: Partial<StudyInput>): StudyInput {
  return {
    name,
    cohort: {
      manifest: join(settings.folder, "cohort", "manifest.csv"),
      voxels: settings.quick ? [32, 32, 16] : [48, 48, 16],
    },
    split,
    models: [
      {
        name: "ProFound",
        encoder: "profound-demo",
        pretrain: { epochs: settings.quick ? 1 : 10, batchSize: 4, decoderDim: 64 },
        decoder: { kind: "upernet", hidden: 32, auxiliary: 16 },
        subpixel: { featureSize: 8 },
      },
    ],
    tasks: ["lesion-segmentation"],
    training: { epochs: settings.quick ? 2 : 10, batchSize: 4, learningRate: 1e-3 },
    ...changes,
    execution: {
      jobs: 1,
      threads: settings.threads,
      device: settings.device,
      cache: join(settings.folder, "cache"),
      output: join(settings.folder, name),
    },
  };
}

const makeCohort = (settings: BenchSettings) =>
  writePhantomCohort(join(settings.folder, "cohort"), {
    cases: split.train + split.validation + split.test,
    seed: 1,
    voxels: settings.quick ? [32, 32, 16] : [64, 64, 24],
  });

const nothing = { comparisons: [], error: null, tolerance: null, floor: null, versions: {} } as const;

/** The share of a study in which no native work was under way. */
export const overhead: BenchCase = {
  name: "study-overhead",
  summary: "the share of a small study spent outside of native calls",
  measure: async (settings) => {
    await makeCohort(settings);
    const wall: number[] = [];
    const shares: number[] = [];
    for (let run = 1; run <= settings.runs; run++) {
      throwIfAborted(settings.signal);
      settings.say(`study-overhead: study ${run} of ${settings.runs}`);
      const started = performance.now();
      const nativeBefore = nativeSeconds();
      let nativeInCells = 0;
      await runStudy(
        study(settings, `overhead-${run}`, {
          specialised: { "lesion-segmentation": "unet-3d-demo" },
        }),
        {
          ...(settings.signal ? { signal: settings.signal } : {}),
          onProgress: (event) => {
            if (event.kind === "cell-done") nativeInCells += event.nativeSeconds;
          },
        },
      );
      const seconds = (performance.now() - started) / 1000;
      wall.push(seconds);
      shares.push(1 - (nativeInCells + nativeSeconds() - nativeBefore) / seconds);
    }
    return {
      ...nothing,
      comparisons: [],
      name: "study-overhead",
      title: "a study like the demo's, one cell at a time",
      ours: timingOf(wall),
      figures: [
        {
          what: "outside native calls (starts and ends of processes among them)",
          value: 100 * quantile(shares, 0.5),
          unit: "%",
          target: "under 3 %",
        },
      ],
    };
  },
};

/** What keeping a frozen encoder's features saves: the epochs after the first beside the first. */
export const frozen: BenchCase = {
  name: "frozen",
  summary: "epochs of a frozen encoder's fine-tuning: the first, and those after it",
  measure: async (settings) => {
    await makeCohort(settings);
    const first: number[] = [];
    const later: number[] = [];
    for (let run = 1; run <= settings.runs; run++) {
      throwIfAborted(settings.signal);
      settings.say(`frozen: study ${run} of ${settings.runs}`);
      const results = await runStudy(
        study(settings, `frozen-${run}`, {
          models: [
            {
              name: "ProFound",
              encoder: settings.quick ? "profound-demo" : "profound-tiny",
              pretrain: { epochs: 1, batchSize: 4, decoderDim: 64 },
              classifier: { bottleneck: 256 },
              finetune: "frozen",
            },
          ],
          tasks: ["pirads-classification"],
          comparators: ["fine-tuned", "pretrained"],
          training: { epochs: settings.quick ? 3 : 6, batchSize: 4, learningRate: 1e-3 },
        }),
        settings.signal ? { signal: settings.signal } : {},
      );
      const cell = results.cells.find(({ comparator }) => comparator === "fine-tuned");
      if (cell?.result === undefined)
        throw new TransferLimitsError(
          "INTERNAL",
          `The study's cell failed: ${cell?.reason ?? "it is not there"}`,
        );
      const [one = 0, ...others] = cell.result.cost.epochSeconds;
      first.push(one);
      later.push(quantile(others, 0.5));
    }
    const [ours, peer] = [timingOf(later), timingOf(first)];
    return {
      ...nothing,
      name: "frozen",
      title: "frozen ConvNeXt V2-Tiny, classification: an epoch after the first",
      ours,
      comparisons: [
        {
          peer: "its first epoch",
          group: "its first epoch",
          timing: peer,
          ratio: ratioOf(ours, peer),
          atLeast: 10,
          difference: null,
          error: null,
        },
      ],
      figures: [],
    };
  },
};
