import { byDiffusion, type DiffusionOptions, imagePair } from "./by-diffusion.js";
import type { Task } from "./task.js";

/** Modality translation (task 5 of the paper): T2W to the high-b image by a denoising diffusion model. */
export const modalityTranslation = (options: DiffusionOptions): Task =>
  byDiffusion(
    {
      kind: "modality-translation",

      missing({ roles }) {
        if (!roles.includes("t2w")) return "it has no T2W volume";
        return roles.includes("hbv") ? null : "it has no high-b image";
      },

      images: async (volumes) => imagePair(await volumes.load("hbv"), () => volumes.load("t2w")),
    },
    options,
  );
