import type { PlannedCell, StudyPlan } from "./plan.js";

/** A pretrained encoder of a study: a model's own weights, or what a pretraining of the study left. */
export interface GatedEncoder {
  model: string;
  /** The cell that pretrains it; null where its weights come from elsewhere. */
  pretraining: string | null;
}

/** What the kept measurements of an encoder are called. */
export const encoderKey = ({ model, pretraining }: GatedEncoder): string => pretraining ?? model;

/** The pretrained encoder that a cell starts from; null where it starts from none. */
export const encoderOfCell = ({ kind, startsFrom, model, dependsOn }: PlannedCell): GatedEncoder | null =>
  kind === "cell" && startsFrom === "pretrained" ? { model, pretraining: dependsOn[0] ?? null } : null;

/** Every pretrained encoder that cells of a plan start from, each once. */
export const gatedEncoders = ({ cells }: Pick<StudyPlan, "cells">): GatedEncoder[] => [
  ...new Map(
    cells.flatMap((cell) => encoderOfCell(cell) ?? []).map((one) => [encoderKey(one), one]),
  ).values(),
];
