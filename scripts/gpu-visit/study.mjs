// The small study of a visit: two encoders, five tasks, five comparators. Packed with what a CPU gave for it; what a GPU
// gives is compared with that. And the one at the paper's size.
import { join } from "node:path";
import { paperTasks } from "../../dist/common/vocabulary.js";

/** The phantoms that are packed. */
export const phantoms = { cases: 8, seed: 3, voxels: [32, 32, 16] };
export const manifestOf = (folder) => join(folder, "cohort", "manifest.csv");
const comparators = ["fine-tuned", "pretrained", "random-weights", "from-scratch", "specialised"];

const encoders = { ProFound: "profound-demo", ProViCNet: "provicnet-demo" };
/** Where the encoders lie that the CPU pretrained. */
export const encoderFile = (folder, model) => join(folder, "encoders", `${model}.safetensors`);

/**
 * An epoch is one step of the whole training set: the first epoch's loss is that of the weights as they were drawn, which a
 * CPU and a GPU must agree on, and the second's follows from one step.
 *
 * @param folder with the packed cohort and encoders
 * @param small one task and one encoder, for a test
 * @param pretrain whether encoders are pretrained rather than taken from the folder
 */
export function smallStudy(folder, output, { small, pretrain = false, device = "cpu", jobs = 2 }) {
  const names = Object.keys(encoders).slice(0, small ? 1 : undefined);
  return {
    name: "gpu-visit",
    cohort: { manifest: manifestOf(folder), voxels: phantoms.voxels },
    split: { train: 4, validation: 1, test: 3 },
    models: names.map((name) => ({
      name,
      encoder: encoders[name],
      ...(pretrain
        ? {
            pretrain: { epochs: 2, batchSize: 4, decoderDim: 64, projection: { hidden: 64, bottleneck: 32 } },
          }
        : { weights: encoderFile(folder, name) }),
      decoder: { kind: "unetr", featureSize: 8 },
      denoiser: { kind: "unetr", featureSize: 8 },
      subpixel: { featureSize: 8 },
      classifier: { bottleneck: 32 },
    })),
    tasks: paperTasks
      .map((kind) => (kind === "modality-translation" ? { kind, samplingSteps: 5 } : { kind }))
      .filter(({ kind }) => !small || kind === "lesion-segmentation"),
    comparators,
    untrainedHead: "random",
    specialised: {
      "pirads-classification": "resnet-demo",
      "lesion-segmentation": "unet-3d-demo",
      "super-resolution": "transunet-demo",
      "distortion-correction": "vit-demo",
      "modality-translation": "ddpm-unet-demo",
    },
    training: { epochs: 2, batchSize: 4, learningRate: 1e-3 },
    execution: { device, jobs, threads: 1, gate: "warn", output, cache: `${output}-cache` },
  };
}

/** What the study at the paper's size is made of: as large as published, or for a test. */
export const paperSizedPhantoms = (small) =>
  small ? phantoms : { cases: 6, seed: 5, voxels: [200, 200, 96] };

/**
 * Lesion segmentation at the paper's size, in bfloat16, on a few phantoms: both encoders from scratch, and the specialised
 * model, with enough epochs for a device to show whether it is kept busy.
 */
export function paperSizedStudy(folder, output, { small, device }) {
  const epochs = small ? 2 : 30;
  return {
    preset: "paper",
    name: "gpu-visit-paper",
    manifests: { promis: join(folder, "manifest.csv"), fewShot: null },
    split: { train: 4, validation: 1, test: 1 },
    tasks: ["lesion-segmentation"],
    comparators: ["from-scratch", "specialised"],
    training: { epochs, validateEvery: epochs },
    execution: { device, jobs: 1, precision: "bfloat16", output, cache: `${output}-cache` },
    ...(small && {
      cohort: { voxels: phantoms.voxels },
      models: [
        {
          name: "ProFound",
          encoder: "profound-demo",
          pretrain: {},
          decoder: { kind: "upernet", hidden: 16, auxiliary: 8 },
        },
      ],
      specialised: { "lesion-segmentation": "unet-3d-demo" },
    }),
  };
}

/** By which share a GPU's numbers may differ from a CPU's: of what no training changed, and of first losses. */
export const agreement = { untrained: 2e-3, firstLoss: 0.02 };

/**
 * What two devices must agree on of a cell: metric and scores where nothing is trained, else the first loss.
 *
 * @returns by name, { value, kind }; null where a metric is undefined
 */
export function comparable({ id, metric, curve }) {
  if (curve.length > 0) return { [`${id}, first loss`]: { kind: "firstLoss", value: curve[0].trainingLoss } };
  const scores = [{ case: metric.name, value: metric.mean }, ...metric.cases];
  return Object.fromEntries(
    scores.map(({ case: name, value }) => [`${id}, ${name}`, { kind: "untrained", value }]),
  );
}
