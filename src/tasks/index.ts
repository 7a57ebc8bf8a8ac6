import { z } from "zod";
import type { TaskKind } from "../common/vocabulary.js";
import { distortionCorrection } from "./distortion-correction.js";
import { lesionSegmentation } from "./lesion-segmentation.js";
import { modalityTranslation } from "./modality-translation.js";
import { piradsClassification } from "./pirads-classification.js";
import { superResolution } from "./super-resolution.js";
import type { Task } from "./task.js";

const channelFill = z.enum(["repeat", "zeros"]).default("repeat");

/** Each task's own options, as they stand in a study file beside `kind`. */
export const taskOptions = {
  "pirads-classification": {
    positiveFrom: z.union([z.literal(3), z.literal(4), z.literal(5)]).default(3),
    classWeights: z.enum(["inverse-frequency", "none"]).default("inverse-frequency"),
    channelFill,
  },
  "lesion-segmentation": {
    alpha: z.number().min(0).max(1).default(0.3),
    beta: z.number().min(0).max(1).default(0.7),
    channelFill,
  },
  "super-resolution": {
    downsampling: z.enum(["average", "skip"]).default("average"),
    channelFill,
  },
  "distortion-correction": {
    maximumDisplacement: z.number().positive().default(6),
    decay: z.number().positive().default(15),
    smoothness: z.number().min(1).default(30),
    phaseEncoding: z.enum(["anterior-posterior", "left-right"]).default("anterior-posterior"),
    source: z.enum(["rectum", "rectum-or-behind-gland"]).default("rectum"),
    intensityBins: z.int().min(2).max(1024).nullable().default(32),
    channelFill,
  },
  "modality-translation": {
    noiseSchedule: z.enum(["cosine", "linear"]).default("cosine"),
    timeSteps: z.int().min(10).max(10_000).default(1000),
    sampler: z.enum(["ddim", "ancestral", "dpm-solver++"]).default("ddim"),
    samplingSteps: z.int().min(1).max(1000).default(50),
    ssimWeight: z.number().min(0).default(1),
    intensityBins: z.int().min(2).max(1024).nullable().default(32),
    channelFill,
  },
} as const satisfies Record<TaskKind, z.core.$ZodLooseShape>;

/** A task's kind and options, complete. */
export type TaskSpec = {
  [Kind in TaskKind]: { kind: Kind } & z.infer<z.ZodObject<(typeof taskOptions)[Kind]>>;
}[TaskKind];

/** The task behind its name and options. */
export function taskOf(spec: TaskSpec): Task {
  switch (spec.kind) {
    case "pirads-classification":
      return piradsClassification(spec);
    case "lesion-segmentation":
      return lesionSegmentation(spec);
    case "super-resolution":
      return superResolution(spec);
    case "distortion-correction":
      return distortionCorrection(spec);
    case "modality-translation":
      return modalityTranslation(spec);
  }
}
