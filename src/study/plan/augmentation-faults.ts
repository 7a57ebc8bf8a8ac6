import type { Fault } from "../../common/validation.js";
import { patientAxes, shiftsOf } from "../../tasks/augmentation.js";
import type { Study, StudyConfig } from "../config/schema.js";
import type { StudyPlan } from "./plan.js";
import { placeOf } from "./training-field.js";

/** Faults of a study whose training cases would be shifted out of sight: one for each field and axis. */
export function augmentationFaults(config: StudyConfig, study: Study, { cells }: StudyPlan): Fault[] {
  const [height, width, depth] = study.cohort.voxels;
  const extents = [depth, height, width];
  const faults = new Map<string, Fault>();
  for (const cell of cells) {
    const augmentation = cell.training?.augmentation ?? null;
    if (augmentation === null) continue;
    const field = [...placeOf(cell, "augmentation", config), "shift"];
    shiftsOf(augmentation).forEach((shift, index) => {
      const extent = extents[index] as number;
      if (shift < extent) return;
      const axis = patientAxes[index] as string;
      const path = typeof augmentation.shift === "number" ? field : [...field, axis];
      const message =
        `expected fewer than the ${extent} voxels that cohort.voxels has ${axis}, so that something is left ` +
        `in sight, but received ${shift}`;
      if (!faults.has(path.join("."))) faults.set(path.join("."), { path, message, unknownKey: null });
    });
  }
  return [...faults.values()];
}
