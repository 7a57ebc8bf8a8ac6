import { z } from "zod";
import { expected } from "../common/errors.js";
import { section } from "../common/validation.js";
import { ownStrategy, type Strategy, strategies, type TaskKind } from "../common/vocabulary.js";
import { predictions } from "../diffusion/prediction.js";
import { byDiffusion } from "./by-diffusion.js";
import { distortionCorrection, distortionCorrectionImages } from "./distortion-correction.js";
import { lesionSegmentation } from "./lesion-segmentation.js";
import { modalityTranslation } from "./modality-translation.js";
import { piradsClassification } from "./pirads-classification.js";
import { superResolution, superResolutionImages } from "./super-resolution.js";
import type { Task } from "./task.js";

const channelFill = z.enum(["repeat", "zeros"]).default("repeat");

/** How a diffusion model is trained and sampled from. */
export const diffusionOptions = {
  noiseSchedule: z.enum(["cosine", "linear"]).default("cosine"),
  timeSteps: z.int().min(10).max(10_000).default(1000),
  prediction: z.enum(predictions).default("noise"),
  sampler: z.enum(["ddim", "ancestral", "dpm-solver++"]).default("ddim"),
  samplingSteps: z.int().min(1).max(1000).default(50),
  ssimWeight: z.number().min(0).default(1),
  intensityBins: z.int().min(2).max(1024).nullable().default(32),
};

/** Of the tasks that can be learnt either way. */
const eitherWay = {
  strategies: z.array(z.enum(strategies)).min(1).default(["direct"]),
  diffusion: section(diffusionOptions).prefault({}),
};

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
    prior: z.number().gt(0).lt(1).nullable().default(null),
    channelFill,
  },
  "super-resolution": {
    downsampling: z.enum(["average", "skip"]).default("average"),
    channelFill,
    ...eitherWay,
  },
  "distortion-correction": {
    maximumDisplacement: z.number().positive().default(6),
    decay: z.number().positive().default(15),
    smoothness: z.number().min(1).default(30),
    phaseEncoding: z.enum(["anterior-posterior", "left-right"]).default("anterior-posterior"),
    source: z.enum(["rectum", "rectum-or-behind-gland"]).default("rectum"),
    intensityBins: z.int().min(2).max(1024).nullable().default(32),
    answers: z.enum(["image", "difference"]).default("image"),
    channelFill,
    ...eitherWay,
  },
  "modality-translation": { ...diffusionOptions, channelFill },
} as const satisfies Record<TaskKind, z.core.$ZodLooseShape>;

/** A task's kind and options, complete. */
export type TaskSpec = {
  [Kind in TaskKind]: { kind: Kind } & z.infer<z.ZodObject<(typeof taskOptions)[Kind]>>;
}[TaskKind];

/** The strategies by which a task is to be learnt, always in the same order. */
export const strategiesOf = (spec: TaskSpec): readonly Strategy[] =>
  "strategies" in spec
    ? strategies.filter((strategy) => spec.strategies.includes(strategy))
    : [ownStrategy(spec.kind)];

/**
 * The task behind its name and options, learnt by a strategy: by default the one that the paper defines it by.
 *
 * @throws `BAD_INPUT` for a strategy by which the task cannot be learnt
 */
export function taskOf(spec: TaskSpec, strategy: Strategy = ownStrategy(spec.kind)): Task {
  switch (spec.kind) {
    case "super-resolution":
      if (strategy === "direct") return superResolution(spec);
      return byDiffusion(superResolutionImages(spec), { ...spec.diffusion, channelFill: spec.channelFill });
    case "distortion-correction":
      if (strategy === "direct") return distortionCorrection(spec);
      return byDiffusion(distortionCorrectionImages(spec), {
        ...spec.diffusion,
        channelFill: spec.channelFill,
      });
  }
  const own = ownStrategy(spec.kind);
  if (strategy !== own) throw expected(`"${own}", the one strategy of ${spec.kind},`, "strategy", strategy);
  switch (spec.kind) {
    case "pirads-classification":
      return piradsClassification(spec);
    case "lesion-segmentation":
      return lesionSegmentation(spec);
    case "modality-translation":
      return modalityTranslation(spec);
  }
}
