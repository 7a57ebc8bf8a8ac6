import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "../common/atomic-file.js";
import { TransferLimitsError } from "../common/errors.js";
import { ownCommand } from "../common/own-commands.js";
import { readRegularText } from "../common/regular-file.js";
import { count } from "./format.js";

/** Height, width and depth of the phantoms' T2W images, in voxels. */
const voxels = [64, 64, 24] as const;

/** The phantoms of the demo: two cohorts of different patients. */
const cohorts = {
  "pretraining-cohort": { cases: 40, prefix: "pretraining", seedOffset: 1_000_000 },
  cohort: { cases: 32, prefix: "case", seedOffset: 0 },
} as const;

/** What may be chosen of the demo. */
export interface DemoChoices {
  /** Seeds the phantoms, and the first training. */
  seed: number;
  /** How many trainings of each network, with a seed each. */
  trainings: number;
}

/** The study of the demo, as a person would write it for a cohort of their own. */
const studyText = ({
  seed,
  trainings,
}: DemoChoices): string => `# The study of the demo: small, so that two CPU cores finish it in minutes.
# Every field is explained in docs/configuration.md.
name: demo
seed: ${seed}
seeds: [${Array.from({ length: trainings }, (_, index) => seed + index).join(", ")}]
cohort:
  manifest: cohort/manifest.csv
  voxels: [48, 48, 16] # height x width x depth
  crop: { around: gland, fieldOfView: [64, 64, 60] } # mm
split: { train: 16, validation: 4, test: 12 } # cases: few labelled ones, where pretraining can matter
models:
  - name: ProFound
    encoder: profound-demo
    pretrain:
      manifest: pretraining-cohort/manifest.csv # disjoint from the study's cohort
      epochs: 50
      batchSize: 4
      learningRate: 0.002
      decoderDim: 64
    decoder: { kind: unetr, featureSize: 8 } # sees the input at its full resolution
    denoiser: { kind: unetr, featureSize: 6 }
    subpixel: { featureSize: 8 }
    classifier: { bottleneck: 32 }
  - name: ProViCNet
    encoder: provicnet-demo
    pretrain:
      manifest: pretraining-cohort/manifest.csv
      epochs: 32
      batchSize: 4
      learningRate: 0.001
      projection: { hidden: 64, bottleneck: 32 }
    decoder: { kind: unetr, featureSize: 6 }
    denoiser: { kind: unetr, featureSize: 6 }
    subpixel: { featureSize: 8 }
    classifier: { bottleneck: 32 }
tasks:
  - kind: pirads-classification
    training: { epochs: 24, learningRate: 0.001, batchSize: 4, validateEvery: 4 }
  - kind: lesion-segmentation
    prior: 0.01 # an untrained network says that one voxel in a hundred is lesion
    training: { epochs: 12, learningRate: 0.003, validateEvery: 4 }
  - kind: super-resolution
    training: { epochs: 24, learningRate: 0.004, validateEvery: 4 }
    strategies: [direct, diffusion]
    diffusion:
      prediction: image # a few hundred steps are too few to tell noise
      noiseSchedule: linear # more of them at late times, where the image is decided
      sampler: ancestral
      samplingSteps: 5
      training: { epochs: 4, learningRate: 0.004, validateEvery: 4 }
  - kind: distortion-correction
    answers: difference # an untrained network gives the image back as it is
    training: { epochs: 6, learningRate: 0.003, validateEvery: 6 }
  - kind: modality-translation
    prediction: image
    noiseSchedule: linear
    sampler: ancestral
    samplingSteps: 5
    training: { epochs: 5, learningRate: 0.004, validateEvery: 5 }
# Heads of the pretrained and the random encoder stay as drawn: to train them, the default, would take a minute more.
untrainedHead: random
specialised:
  pirads-classification: resnet-demo
  lesion-segmentation: unet-3d-demo
  super-resolution: transunet-demo
  distortion-correction: vit-demo
  modality-translation: ddpm-unet-demo
training:
  batchSize: 1 # many steps of one case learn more in a minute than few of several
execution:
  jobs: 2
  threads: 1
  cellsPerProcess: 20 # the start of a process takes longer than some of these cells
  output: results
`;

/**
 * Writes the demo's study and its phantom cohorts into `folder`, where they are not there yet, and gives the study's
 * path. A cohort is there when its manifest is, which is written last; the study stands first, so that cohorts of
 * another seed are never taken for its own.
 *
 * @throws `BAD_CONFIG` when the folder holds a demo of another seed or number of trainings, or of another version
 */
export async function prepareDemo(
  folder: string,
  choices: DemoChoices,
  say: (text: string) => void,
): Promise<string> {
  const path = join(folder, "study.yaml");
  const text = studyText(choices);
  await refuseAnother(folder, path, text);
  await writeFileAtomically(path, text);
  for (const [name, { cases, prefix, seedOffset }] of Object.entries(cohorts)) {
    const target = join(folder, name);
    if (existsSync(join(target, "manifest.csv"))) continue;
    say(`Making ${count(cases, "phantom")} in ${target}`);
    const { writePhantomCohort } = await import("../cohort/phantom.js");
    await writePhantomCohort(target, { cases, prefix, seed: choices.seed + seedOffset, voxels });
  }
  return path;
}

async function refuseAnother(folder: string, path: string, text: string): Promise<void> {
  const present = await readRegularText(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (present === null || present === text) return;
  throw new TransferLimitsError(
    "BAD_CONFIG",
    `${path} is not the study of this demo: it was made with another seed, number of trainings or version, or edited. Choose another ` +
      `folder with --out, or run that study as it is: ${ownCommand("run", path)}. Nothing in ${folder} was changed.`,
  );
}
