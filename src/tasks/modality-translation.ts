import { byDiffusion, diffusionFaults, diffusionOptions, imagePair } from "./by-diffusion.js";
import { defineTask } from "./definition.js";
import { channelFill, judgedBySsim, ssimFaults } from "./task.js";
import { trivialModalityTranslation } from "./trivial/modality-translation.js";

const kind = "modality-translation";

/** Modality translation (task 5 of the paper): T2W to the high-b image by a denoising diffusion model. */
export const modalityTranslationTask = defineTask({
  kind,
  label: "Modality translation",
  options: { ...diffusionOptions, channelFill },
  metric: { name: judgedBySsim.metric, better: "higher", margin: 0.01 },
  specialised: "ddpm-unet",
  faults: (options, prepared) => {
    const standardised = {
      of: "cohort" as const,
      path: ["normalise", "hbv", "kind"],
      message: `expected "percentiles" or "range", as ${kind} compares high-b images in [0, 1], but received "z-score"`,
    };
    return [
      ...diffusionFaults(options),
      ...(prepared.normalise.hbv?.kind === "z-score" ? [standardised] : []),
      ...ssimFaults(kind, prepared),
    ];
  },
  create: (options) =>
    byDiffusion(
      {
        kind,
        needs: [{ oneOf: ["t2w"] }, { oneOf: ["hbv"] }],
        images: async (volumes) => imagePair(await volumes.load("hbv"), () => volumes.load("t2w")),
      },
      options,
    ),
  trivial: trivialModalityTranslation,
});
