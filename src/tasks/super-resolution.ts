import { z } from "zod";
import { Tensor } from "../native/tensor.js";
import { byDiffusion, diffusionFaults, eitherWay, type ImageTask, imagePair } from "./by-diffusion.js";
import { defineTask, type Named, type OptionsOf } from "./definition.js";
import { spreadOfSsim } from "./expected-spreads.js";
import { imageFault, imageOf, imageOption, onReference } from "./own-image.js";
import {
  channelFill,
  filledChannels,
  imagePicture,
  judgedBySsim,
  needing,
  sampleOf,
  ssimFaults,
  stackChannels,
  type Task,
} from "./task.js";
import { trivialSuperResolution } from "./trivial/super-resolution.js";

const options = {
  /** The image whose slices are missing; default: the cohort's reference. */
  image: imageOption,
  /**
   * How D slices become D / 2: `average` of each pair, which is what a scanner's thicker slice sees (default), or
   * `skip`, every second slice. The paper is silent.
   */
  downsampling: z.enum(["average", "skip"]).default("average"),
  channelFill,
  ...eitherWay,
};

export type SuperResolutionOptions = OptionsOf<typeof options>;

const kind = "super-resolution";

/** Those of the task, whose image is T2W where nothing else is said. */
type Own = Named<Pick<SuperResolutionOptions, "image" | "downsampling" | "channelFill">>;

/** Half the slices of a volume [D, H, W]. */
const coarsen = (volume: Tensor, { downsampling }: Pick<SuperResolutionOptions, "downsampling">) =>
  volume.poolDepth(2, downsampling === "average" ? "mean" : "first");

/**
 * Super-resolution (task 3 of the paper): T2W, or another image, with half its slices to the same with all of them. L1 loss;
 * SSIM with a data range of 1, as images are normalised to [0, 1].
 */
export const superResolution = (options: Own): Task => ({
  name: options.name ?? kind,
  shape: { answers: "voxels", channels: 1, outputs: 1, depthScale: 2 },
  loss: () => ({ kind: "l1" }),
  ...judgedBySsim,
  chance: "none",
  ...needing({ oneOf: [imageOf(options)] }),

  imagesShown: (channels) => filledChannels(1, channels, options.channelFill),

  async sample(volumes, channels) {
    using image = await volumes.load(imageOf(options));
    using coarse = await coarsen(image, options);
    const input = await stackChannels([coarse], channels, options.channelFill);
    return sampleOf(input, image);
  },

  // Each of the input's slices is two of the answer.
  picture: (sample, prediction) =>
    imagePicture(sample, prediction, undefined, (slice) => Math.floor(slice / 2)),
});

/** The same for a diffusion model, which sees each of the coarse slices twice: a volume as deep as the one it makes. */
const superResolutionImages = (options: Own): ImageTask => ({
  name: options.name ?? kind,
  needs: [{ oneOf: [imageOf(options)] }],
  images: async (volumes) =>
    imagePair(await volumes.load(imageOf(options)), async (image) => {
      using coarse = await coarsen(image, options);
      return await twice(coarse);
    }),
});

/** Each slice of a volume twice: [D, H, W] -> [2 D, H, W]. */
async function twice(volume: Tensor): Promise<Tensor> {
  const slices: Tensor[] = [];
  try {
    const depth = volume.shape[0] as number;
    for (let slice = 0; slice < depth; slice++) slices.push(await volume.select(0, slice));
    return await Tensor.gather(
      slices,
      slices.flatMap((_, slice) => [slice, slice]),
    );
  } finally {
    for (const slice of slices) slice.dispose();
  }
}

export const superResolutionTask = defineTask({
  kind,
  label: "Super-resolution",
  options,
  metric: { name: judgedBySsim.metric, better: "higher", margin: 0.01, spread: spreadOfSsim },
  specialised: "transunet-3d",
  complete: onReference,
  faults: ({ image, diffusion }, prepared) => {
    const [, , depth] = prepared.voxels;
    const odd = {
      of: "cohort" as const,
      path: ["voxels", 2],
      message: `expected an even depth, which super-resolution halves, but received ${depth}`,
    };
    return [
      ...diffusionFaults(diffusion, ["diffusion"]),
      ...(depth % 2 === 0 ? [] : [odd]),
      ...imageFault({ image }, prepared.columns),
      ...ssimFaults(kind, prepared, image),
    ];
  },
  create: ({ diffusion, ...own }, strategy) =>
    strategy === "direct"
      ? superResolution(own)
      : byDiffusion(superResolutionImages(own), { ...diffusion, channelFill: own.channelFill }),
  trivial: trivialSuperResolution,
});
