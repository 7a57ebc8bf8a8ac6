import { byDiffusion, type DiffusionOptions, imagePair } from "./by-diffusion.js";
import type { Task } from "./task.js";

/** Modality translation (task 5 of the paper): T2W to the high-b image by a denoising diffusion model. */
export const modalityTranslation = (options: DiffusionOptions): Task =>
  byDiffusion(
    {
      kind: "modality-translation",

      needs: [{ oneOf: ["t2w"] }, { oneOf: ["hbv"] }],

      images: async (volumes) => imagePair(await volumes.load("hbv"), () => volumes.load("t2w")),
    },
    options,
  );
