import { isShared } from "../../common/vocabulary.js";
import { nameOf } from "../../tasks/index.js";
import type { StudyConfig, TrainingSettings } from "../config/schema.js";
import type { PlannedCell } from "./plan.js";

/** Where a study says what a cell has as `field` of its training: the model, the task, or the study itself. */
export function placeOf(
  { task, strategy, model, comparator }: PlannedCell,
  field: keyof TrainingSettings,
  config: StudyConfig,
): PropertyKey[] {
  const place = ["training", field];
  const modelIndex = config.models.findIndex(({ name }) => name === model);
  if (
    comparator !== null &&
    !isShared(comparator) &&
    config.models[modelIndex]?.training[field] !== undefined
  )
    return ["models", modelIndex, ...place];
  const taskIndex = config.tasks.findIndex(
    (entry) => (typeof entry === "string" ? entry : nameOf(entry)) === task,
  );
  const entry = config.tasks[taskIndex];
  if (entry === undefined || typeof entry === "string") return place;
  if (strategy === "diffusion" && "diffusion" in entry && entry.diffusion.training[field] !== undefined)
    return ["tasks", taskIndex, "diffusion", ...place];
  return entry.training[field] === undefined ? place : ["tasks", taskIndex, ...place];
}
