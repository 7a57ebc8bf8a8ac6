import { byDiffusion, diffusionFaults, diffusionOptions } from "./by-diffusion.js";
import { defineTask } from "./definition.js";
import { channelFill, intensityFaults, ssimFaults, ssimMetric } from "./task.js";
import { type Translating, translatedImages } from "./translation.js";
import { trivialTranslation } from "./trivial/translation.js";

const kind = "modality-translation";

const what: Translating = { name: kind, from: "t2w", to: "hbv" };

/** Modality translation (task 5 of the paper): T2W to the high-b image by a denoising diffusion model. */
export const modalityTranslationTask = defineTask({
  kind,
  label: "Modality translation",
  options: { ...diffusionOptions, channelFill },
  metric: { ...ssimMetric, spread: { seed: 0.01, patient: 0.02, interaction: 0.01 } },
  ownStrategy: "diffusion",
  specialised: "ddpm-unet",
  faults: (options, prepared) => [
    ...diffusionFaults(options),
    ...intensityFaults(kind, prepared, what.to),
    ...ssimFaults(kind, prepared, what.from),
  ],
  create: (options) => byDiffusion(translatedImages(what), options),
  trivial: () => trivialTranslation(what),
});
