import type { TaskSpec } from "../index.js";
import { trivialDistortionCorrection } from "./distortion-correction.js";
import { trivialLesionSegmentation } from "./lesion-segmentation.js";
import { trivialModalityTranslation } from "./modality-translation.js";
import { trivialPiradsClassification } from "./pirads-classification.js";
import { trivialSuperResolution } from "./super-resolution.js";
import type { Trivial } from "./trivial.js";

/** What a network must beat in a task: the best answer that takes none. */
export function trivialOf(spec: TaskSpec): Trivial {
  switch (spec.kind) {
    case "pirads-classification":
      return trivialPiradsClassification();
    case "lesion-segmentation":
      return trivialLesionSegmentation();
    case "super-resolution":
      return trivialSuperResolution(spec);
    case "distortion-correction":
      return trivialDistortionCorrection();
    case "modality-translation":
      return trivialModalityTranslation();
  }
}
