import { z } from "zod";
import { section } from "../common/validation.js";
import type { TaskKind } from "../common/vocabulary.js";
import { lesionSegmentation } from "./lesion-segmentation.js";
import { superResolution } from "./super-resolution.js";
import type { Task } from "./task.js";

const channelFill = z.enum(["repeat", "zeros"]).default("repeat");

/** Each task's own options, as they stand in a study file beside `kind`. */
export const taskOptions = {
  "lesion-segmentation": {
    alpha: z.number().min(0).max(1).default(0.3),
    beta: z.number().min(0).max(1).default(0.7),
    channelFill,
  },
  "super-resolution": {
    downsampling: z.enum(["average", "skip"]).default("average"),
    channelFill,
  },
} as const satisfies Record<TaskKind, z.core.$ZodLooseShape>;

const schemas = {
  "lesion-segmentation": section({
    kind: z.literal("lesion-segmentation"),
    ...taskOptions["lesion-segmentation"],
  }),
  "super-resolution": section({ kind: z.literal("super-resolution"), ...taskOptions["super-resolution"] }),
};

export type TaskSpec = z.infer<(typeof schemas)[TaskKind]>;

/** The task behind its name and options. */
export function taskOf(spec: TaskSpec): Task {
  return spec.kind === "lesion-segmentation" ? lesionSegmentation(spec) : superResolution(spec);
}
