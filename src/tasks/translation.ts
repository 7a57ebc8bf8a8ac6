import { z } from "zod";
import { byDiffusion, diffusionFaults, eitherWay, type ImageTask, imagePair } from "./by-diffusion.js";
import { columnFault, defineTask, type Named, type OptionsOf } from "./definition.js";
import { imageOption } from "./own-image.js";
import {
  channelFill,
  filledChannels,
  imagePicture,
  intensityFaults,
  judgedBySsim,
  needing,
  sampleOf,
  ssimFaults,
  ssimMetric,
  stackChannels,
  type Task,
} from "./task.js";
import { trivialTranslation } from "./trivial/translation.js";

const options = {
  /** The image that is shown; default: the cohort's reference. */
  from: imageOption,
  /** The image that is to be made of it. */
  to: z.string().min(1),
  channelFill,
  ...eitherWay,
};

const kind = "translation";

/** Which image is made of which. */
export interface Translating {
  name: string;
  from: string;
  to: string;
}

/** One image to another of the same case, straight: L1 loss; SSIM with a data range of 1. */
const translating = ({ name, from, to }: Translating, fill: z.output<typeof channelFill>): Task => ({
  name,
  shape: { answers: "voxels", channels: 1, outputs: 1, depthScale: 1 },
  loss: () => ({ kind: "l1" }),
  ...judgedBySsim,
  chance: "none",
  ...needing({ oneOf: [from] }, { oneOf: [to] }),

  imagesShown: (channels) => filledChannels(1, channels, fill),

  async sample(volumes, channels) {
    using shown = await volumes.load(from);
    using wanted = await volumes.load(to);
    return sampleOf(await stackChannels([shown], channels, fill), wanted);
  },

  picture: (sample, prediction) => imagePicture(sample, prediction),
});

/** The same for a diffusion model. */
export const translatedImages = ({ name, from, to }: Translating): ImageTask => ({
  name,
  needs: [{ oneOf: [from] }, { oneOf: [to] }],
  images: async (volumes) => imagePair(await volumes.load(to), () => volumes.load(from)),
});

const what = ({ name = kind, from = "", to }: Named<Pick<OptionsOf<typeof options>, "from" | "to">>) =>
  ({ name, from, to }) satisfies Translating;

export const translationTask = defineTask({
  kind,
  label: "Translation",
  options,
  metric: ssimMetric,
  specialised: "unet-3d",
  complete: (given, { reference }) => ({ ...given, from: given.from ?? reference }),
  faults: ({ from = "", to, diffusion }, prepared) => {
    const wrong = [
      ...columnFault(prepared.columns, "images", ["from"], from),
      ...columnFault(prepared.columns, "images", ["to"], to),
      ...diffusionFaults(diffusion, ["diffusion"]),
      ...intensityFaults(kind, prepared, to),
      ...ssimFaults(kind, prepared, from),
    ];
    if (from === to)
      wrong.push({
        of: "task",
        path: ["to"],
        message: `expected another image than "from" but received "${to}"`,
      });
    return wrong;
  },
  create: ({ diffusion, ...own }, strategy) =>
    strategy === "direct"
      ? translating(what(own), own.channelFill)
      : byDiffusion(translatedImages(what(own)), { ...diffusion, channelFill: own.channelFill }),
  trivial: (given) => trivialTranslation(what(given)),
});
