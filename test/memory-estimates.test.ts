import { describe, expect, it } from "vitest";
import { planStudy } from "../dist/study/plan.js";
import { resolveStudy } from "../dist/study/resolve.js";

/**
 * Peaks in GB of a process that takes a step as the cell does (a forward pass where nothing is trained), at half of the
 * paper's size, 100 x 100 x 48: `node scripts/memory-estimates.mjs` on a CPU with AVX-512, one thread, LibTorch 2.14.1.
 */
const measured: Record<string, number> = {
  "profound--pretraining": 1.11,
  "provicnet--pretraining": 2.41,
  "profound--pirads-classification--fine-tuned--seed1": 1.09,
  "profound--pirads-classification--pretrained--seed1": 0.44,
  "provicnet--pirads-classification--fine-tuned--seed1": 3.41,
  "provicnet--pirads-classification--pretrained--seed1": 0.61,
  "provicnet--pirads-classification--from-scratch--seed1": 2.93,
  "resnet-3d--pirads-classification--specialised--seed1": 1.51,
  "unet-3d--lesion-segmentation--specialised--seed1": 2.54,
  "profound--lesion-segmentation--fine-tuned--seed1": 2.75,
  "provicnet--lesion-segmentation--fine-tuned--seed1": 1.68,
  "provicnet--lesion-segmentation--pretrained--seed1": 0.67,
  "provicnet--lesion-segmentation--from-scratch--seed1": 1.88,
  "profound--modality-translation--fine-tuned--seed1": 1.76,
  "profound--modality-translation--pretrained--seed1": 1.36,
};

describe("the estimates of memory for the paper's networks at half size", () => {
  const answer = resolveStudy(
    {
      preset: "paper",
      manifests: { promis: "promis.csv", fewShot: null },
      cohort: { voxels: [100, 100, 48] },
    },
    "/nowhere",
  );
  if ("faults" in answer) throw new Error(JSON.stringify(answer.faults));
  const { cells } = planStudy(answer.study);

  it.each(Object.entries(measured))(
    "lie between five sixths and twice of what was measured: %s, %d GB",
    (id, peak) => {
      const cell = cells.find((one) => one.id === id);
      if (cell === undefined) throw new Error(`the plan has no cell ${id}`);
      const ratio = (1e9 * peak) / cell.memoryBytes;
      expect(ratio).toBeLessThanOrEqual(1.2);
      expect(ratio).toBeGreaterThanOrEqual(0.5);
    },
  );
});
