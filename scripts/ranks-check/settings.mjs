// Trainings of a few steps that ranks and one process take alike: every family of encoders with the head of every task, of
// which all parameters are trained, a part of them, or the head alone; and the specialised models.

import { headHasBatchNorm } from "../../dist/models/heads/index.js";

/** Twenty steps of four samples each, clipped. */
const common = { batches: Array(20).fill(4), options: { gradientClip: 0.05 } };
const volume = { input: [2, 16, 16, 16], slices: false };

/**
 * Batch norm over few values enlarges rounding from step to step, until float64's shows too: their volumes are larger, and their
 * steps smaller.
 */
const ofBatchNorm = { input: [2, 16, 32, 32], slices: false, batchNorm: true, learningRate: 1e-4 };

/** Small ones, with what their family has of stochastic depth, batch norm, windows and tokens. */
const encoders = {
  "convnext-v2-3d": {
    ...volume,
    encoder: {
      family: "convnext-v2-3d",
      channels: 2,
      depths: [1, 1, 2, 1],
      dims: [8, 8, 16, 16],
      dropPath: 0.4,
    },
  },
  "resnet-3d": {
    ...ofBatchNorm,
    encoder: { family: "resnet-3d", channels: 2, features: 4, blocks: [1, 1, 1, 1] },
  },
  "densenet-3d": {
    ...ofBatchNorm,
    encoder: { family: "densenet-3d", channels: 2, features: 8, growth: 4, blocks: [1, 1, 2, 1] },
  },
  "residual-encoder-3d": {
    ...volume,
    encoder: {
      family: "residual-encoder-3d",
      channels: 2,
      features: [4, 8, 8, 16],
      blocks: [1, 1, 1, 1],
      strides: [2, 2, 2, 1],
    },
  },
  "swin-unetr-3d": {
    ...volume,
    encoder: {
      family: "swin-unetr-3d",
      channels: 2,
      features: 8,
      depths: [1, 1, 2, 1],
      heads: [1, 2, 4, 8],
      window: 4,
    },
  },
  "dino-vit": {
    input: [2, 12, 16, 16],
    slices: true,
    encoder: {
      family: "dino-vit",
      channels: 2,
      patch: 8,
      embedDim: 8,
      depth: 2,
      heads: 2,
      registers: 1,
      axisTokens: 2,
    },
  },
};

const classes = { kind: "classes", shape: [], classes: 3 };
const upernet = { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 8 };
const conv1 = { kind: "conv1", outputs: 1, width: 4 };

/** The head, the target and the loss of each task of the paper, on an encoder that takes such an input. */
function tasksOn({ input: [, depth, height, width], slices }) {
  const whole = [1, depth, height, width];
  const decoder = slices ? conv1 : upernet;
  return {
    "pirads-classification": {
      head: { kind: "classifier", classes: 3, bottleneck: 8 },
      target: classes,
      loss: { kind: "cross-entropy", weights: [1, 2, 3] },
    },
    "lesion-segmentation": {
      head: decoder,
      target: { kind: "mask", shape: whole },
      loss: { kind: "tversky", alpha: 0.3, beta: 0.7 },
    },
    "super-resolution": {
      head: { kind: "subpixel", outputs: 1, featureSize: 4 },
      target: { kind: "volume", shape: [1, 2 * depth, height, width] },
      loss: { kind: "l1" },
    },
    "distortion-correction": {
      head: decoder,
      target: { kind: "volume", shape: whole },
      loss: { kind: "l1" },
    },
    "modality-translation": {
      head: { kind: "unetr", outputs: 1, featureSize: 4 },
      target: { kind: "volume", shape: whole },
      loss: { kind: "l1-ssim", dataRange: 1, ssimWeight: 1 },
    },
  };
}

/** The specialised model of each task, on the same volumes. */
const specialised = {
  "pirads-classification": {
    model: { family: "resnet-3d", channels: 2, classes: 3, features: 4, blocks: [1, 1, 1, 1] },
    batchNorm: true,
  },
  "lesion-segmentation": {
    model: { family: "unet-3d", channels: 2, outputs: 1, features: 4, levels: 2 },
  },
  "super-resolution": {
    model: {
      ...{ family: "transunet-3d", channels: 2, outputs: 1, features: 4, levels: 2, depth: 2, heads: 2 },
      depthScale: 2,
    },
  },
  "distortion-correction": {
    model: { family: "vit-3d", channels: 2, outputs: 1, patch: [8, 8, 8], embedDim: 16, depth: 2, heads: 2 },
  },
  "modality-translation": {
    model: { family: "diffusion-unet-3d", channels: 2, outputs: 1, features: 8, levels: 2 },
  },
};

/** A batch goes in parts where no batch norm is trained, which needs it whole. */
const optionsOf = (loss, batchNorm) => ({ ...common.options, loss, ...(batchNorm ? {} : { microBatch: 1 }) });

/**
 * Every training.
 *
 * @param script a `torchscript` encoder of volumes to try beside the families, with maps for decoders
 */
export function everySetting(script) {
  const families = { ...encoders };
  if (script)
    families.torchscript = { ...volume, input: [script.channels, ...volume.input.slice(1)], encoder: script };
  const settings = [];
  for (const [family, known] of Object.entries(families)) {
    for (const [task, { head, target, loss }] of Object.entries(tasksOn(known))) {
      for (const trained of ["frozen", "partial", "full"]) {
        const batchNorm = (known.batchNorm && trained !== "frozen") || headHasBatchNorm(head, known.encoder);
        settings.push({
          ...{ name: `${family}, ${task}, ${trained}`, family, task, trained, input: known.input, target },
          spec: { encoder: known.encoder, head },
          batches: common.batches,
          options: optionsOf(loss, batchNorm),
          learningRate: known.learningRate,
        });
      }
    }
  }
  for (const [task, { model, batchNorm = false }] of Object.entries(specialised)) {
    const { target, loss } = tasksOn(volume)[task];
    settings.push({
      ...{
        name: `${model.family} (specialised), ${task}`,
        family: model.family,
        task,
        trained: "full",
        input: volume.input,
        target,
      },
      spec: { model },
      batches: common.batches,
      options: optionsOf(loss, batchNorm),
    });
  }
  return settings;
}
