import type { IntensityOutput } from "../native/network-spec.js";
import type { Tensor } from "../native/tensor.js";
import { byDiffusion, diffusionFaults, eitherWay, type ImageTask, imagePair } from "./by-diffusion.js";
import {
  type CoarseGrid,
  coarseGridFaults,
  coarseGridOptions,
  factorsOf,
  halvesDepth,
  onCoarseGrid,
  onFineGrid,
} from "./coarse-grid.js";
import { defineTask, type Named, type OptionsOf } from "./definition.js";
import { imageFault, imageOf, imageOption, onReference } from "./own-image.js";
import {
  channelFill,
  filledChannels,
  imagePicture,
  judgedBySsim,
  needing,
  sampleOf,
  ssimFaults,
  ssimMetric,
  stackChannels,
  type Task,
} from "./task.js";
import { trivialSuperResolution } from "./trivial/super-resolution.js";

const options = {
  /** The image whose voxels are missing; default: the cohort's reference. */
  image: imageOption,
  ...coarseGridOptions,
  channelFill,
  ...eitherWay,
};

export type SuperResolutionOptions = OptionsOf<typeof options>;

const kind = "super-resolution";

/** Those of the task: half the slices of T2W where nothing else is said. */
type Own = Named<
  Pick<SuperResolutionOptions, "image" | "downsampling" | "channelFill"> &
    Partial<Pick<CoarseGrid, "axis" | "factor">>
>;

/**
 * What a foundation model adds to the coarse voxels, where no head of its own makes more of them: a fresh one adds next to
 * nothing, as a fresh subpixel head does.
 */
const difference: IntensityOutput = { bins: 32, low: -1, high: 1, addedToInput: true };

/**
 * Super-resolution (task 3 of the paper): T2W, or another image, with half its slices to the same with all of them. L1 loss;
 * SSIM with a data range of 1, as images are normalised to [0, 1]. Along other axes or by other factors the network sees the
 * coarse voxels on the fine grid, where a pretrained encoder finds anatomy at the size that it knows.
 */
export function superResolution(options: Own): Task {
  const factors = factorsOf(options);
  const subpixel = halvesDepth(factors);
  return {
    name: options.name ?? kind,
    shape: {
      answers: "voxels",
      channels: 1,
      outputs: 1,
      ...(subpixel ? { depthScale: 2 } : { depthScale: 1, intensities: difference }),
    },
    loss: () => ({ kind: "l1" }),
    ...judgedBySsim,
    chance: "none",
    ...needing({ oneOf: [imageOf(options)] }),

    imagesShown: (channels) => filledChannels(1, channels, options.channelFill),

    async sample(volumes, channels) {
      using image = await volumes.load(imageOf(options));
      using shown = await (subpixel
        ? onCoarseGrid(image, factors, options.downsampling)
        : coarsened(image, options));
      const input = await stackChannels([shown], channels, options.channelFill);
      return sampleOf(input, image);
    },

    // Each of the input's slices is two of the answer where it has half of them.
    picture: (sample, prediction) =>
      imagePicture(sample, prediction, undefined, (slice) => (subpixel ? Math.floor(slice / 2) : slice)),
  };
}

/** The same for a diffusion model, which sees the coarse voxels on the grid of the volume that it makes. */
const superResolutionImages = (options: Own): ImageTask => ({
  name: options.name ?? kind,
  needs: [{ oneOf: [imageOf(options)] }],
  images: async (volumes) =>
    imagePair(await volumes.load(imageOf(options)), (image) => coarsened(image, options)),
});

/** An image of coarse voxels, on its own grid: [D, H, W] -> [D, H, W]. */
async function coarsened(image: Tensor, options: Own): Promise<Tensor> {
  const factors = factorsOf(options);
  using coarse = await onCoarseGrid(image, factors, options.downsampling);
  return await onFineGrid(coarse, factors);
}

export const superResolutionTask = defineTask({
  kind,
  label: "Super-resolution",
  options,
  metric: ssimMetric,
  specialised: "transunet-3d",
  complete: onReference,
  faults: ({ image, diffusion, ...grid }, prepared) => [
    ...diffusionFaults(diffusion, ["diffusion"]),
    ...coarseGridFaults(grid, prepared),
    ...imageFault({ image }, prepared.columns),
    ...ssimFaults(kind, prepared, image),
  ],
  create: ({ diffusion, ...own }, strategy) =>
    strategy === "direct"
      ? superResolution(own)
      : byDiffusion(superResolutionImages(own), { ...diffusion, channelFill: own.channelFill }),
  trivial: trivialSuperResolution,
});
