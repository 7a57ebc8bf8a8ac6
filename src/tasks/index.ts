import { expected } from "../common/errors.js";
import { ownStrategy, type Strategy, strategies, type TaskKind } from "../common/vocabulary.js";
import type { OptionsOf, PreparedAs, TaskDefinition, TaskFault } from "./definition.js";
import { distortionCorrectionTask } from "./distortion-correction.js";
import { lesionSegmentationTask } from "./lesion-segmentation.js";
import { modalityTranslationTask } from "./modality-translation.js";
import { piradsClassificationTask } from "./pirads-classification.js";
import { superResolutionTask } from "./super-resolution.js";
import type { Task } from "./task.js";
import type { Trivial } from "./trivial/trivial.js";

/** Every task, in the order of the paper. */
export const taskDefinitions = {
  "pirads-classification": piradsClassificationTask,
  "lesion-segmentation": lesionSegmentationTask,
  "super-resolution": superResolutionTask,
  "distortion-correction": distortionCorrectionTask,
  "modality-translation": modalityTranslationTask,
} as const satisfies { [Kind in TaskKind]: { kind: Kind } };

/** A task's kind and options, complete. */
export type TaskSpec = {
  [Kind in TaskKind]: { kind: Kind } & OptionsOf<(typeof taskDefinitions)[Kind]["options"]>;
}[TaskKind];

/** What a task is, which is given no options of another. */
export const definitionOf = (kind: TaskKind): TaskDefinition =>
  taskDefinitions[kind] as unknown as TaskDefinition;

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
  const own = ownStrategy(spec.kind);
  if (!("strategies" in spec) && strategy !== own)
    throw expected(`"${own}", the one strategy of ${spec.kind},`, "strategy", strategy);
  return definitionOf(spec.kind).create(spec, strategy);
}

/** What a network must beat in a task: the best answer that takes none. */
export const trivialOf = (spec: TaskSpec): Trivial => definitionOf(spec.kind).trivial(spec);

/** Options of a task that contradict each other, or what is said of the images. */
export const taskFaults = (spec: TaskSpec, prepared: PreparedAs): TaskFault[] =>
  definitionOf(spec.kind).faults?.(spec, prepared) ?? [];
