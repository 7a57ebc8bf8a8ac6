import { describe, expect, it } from "vitest";
import { resolveStudy } from "../dist/study/config/resolve.js";
import { planStudy } from "../dist/study/plan/plan.js";

/**
 * Peaks in GB of a process that takes a step as the cell does and then answers a case, at half of the paper's size,
 * 100 x 100 x 48: `node scripts/memory-estimates.mjs` on a CPU with AVX-512, one thread, LibTorch 2.14.1.
 */
const measured: Record<string, number> = {
  "profound--pretraining": 1.09,
  "provicnet--pretraining": 1.85,
  "profound--pirads-classification--fine-tuned--seed1": 1.08,
  "profound--pirads-classification--pretrained--seed1": 0.43,
  "provicnet--pirads-classification--fine-tuned--seed1": 2.65,
  "provicnet--pirads-classification--pretrained--seed1": 0.62,
  "provicnet--pirads-classification--from-scratch--seed1": 2.96,
  "resnet-3d--pirads-classification--specialised--seed1": 1.5,
  "profound--lesion-segmentation--fine-tuned--seed1": 2.81,
  "profound--lesion-segmentation--pretrained--seed1": 2.39,
  "provicnet--lesion-segmentation--fine-tuned--seed1": 1.66,
  "provicnet--lesion-segmentation--pretrained--seed1": 0.65,
  "provicnet--lesion-segmentation--from-scratch--seed1": 1.88,
  "unet-3d--lesion-segmentation--specialised--seed1": 2.56,
  "profound--super-resolution--fine-tuned--seed1": 1.39,
  "profound--super-resolution--pretrained--seed1": 1.04,
  "provicnet--super-resolution--fine-tuned--seed1": 1.22,
  "provicnet--super-resolution--pretrained--seed1": 0.71,
  "provicnet--super-resolution--from-scratch--seed1": 1.38,
  "transunet-3d--super-resolution--specialised--seed1": 4.37,
  "profound--distortion-correction--fine-tuned--seed1": 2.79,
  "profound--distortion-correction--pretrained--seed1": 2.33,
  "provicnet--distortion-correction--fine-tuned--seed1": 1.69,
  "provicnet--distortion-correction--pretrained--seed1": 0.64,
  "provicnet--distortion-correction--from-scratch--seed1": 1.88,
  "vit-3d--distortion-correction--specialised--seed1": 1.73,
  "profound--modality-translation--fine-tuned--seed1": 1.76,
  "profound--modality-translation--pretrained--seed1": 1.38,
  "provicnet--modality-translation--fine-tuned--seed1": 2.48,
  "provicnet--modality-translation--pretrained--seed1": 1.48,
  "provicnet--modality-translation--from-scratch--seed1": 2.7,
  "diffusion-unet-3d--modality-translation--specialised--seed1": 4.78,
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

  it("are held to what was measured of every network and part of it that the study trains", () => {
    const different = new Map(
      cells
        .filter(({ network }) => network !== null)
        .map(({ id, network, trains, task }) => [JSON.stringify([network, trains, task === null]), id]),
    );
    const held = new Set(
      cells
        .filter(({ id }) => id in measured)
        .map(({ network, trains, task }) => JSON.stringify([network, trains, task === null])),
    );
    expect([...different].filter(([key]) => !held.has(key)).map(([, id]) => id)).toEqual([]);
  });

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

describe("the estimate of a cell that several processes train", () => {
  const planned = (execution: object, batchSize: number) => {
    const answer = resolveStudy(
      {
        preset: "paper",
        manifests: { promis: "promis.csv", fewShot: null },
        cohort: { voxels: [100, 100, 48] },
        training: { batchSize },
        execution,
      },
      "/nowhere",
    );
    if ("faults" in answer) throw new Error(JSON.stringify(answer.faults));
    const pick = (id: string) => planStudy(answer.study).cells.find((cell) => cell.id === id)?.memoryBytes;
    return {
      trained: pick("profound--lesion-segmentation--fine-tuned--seed1") as number,
      untrained: pick("unet-3d--lesion-segmentation--trivial"),
    };
  };

  it("is as many times that of one with its part of a batch, where they share a CPU's memory", () => {
    const one = planned({ ranks: 1 }, 2).trained;
    expect(planned({ ranks: 3 }, 6).trained).toBe(3 * one);
    // The first of them has a case more than the others.
    expect(planned({ ranks: 3 }, 4).trained).toBe(3 * one);
    expect(planned({ ranks: 3 }, 6).untrained).toBe(planned({ ranks: 1 }, 6).untrained);
  });

  it("is that of one, where each has a GPU", () => {
    expect(planned({ ranks: 3, device: "cuda" }, 6).trained).toBe(planned({ device: "cuda" }, 2).trained);
  });
});
