import { z } from "zod";
import type { CaseVolumes } from "../cohort/case-volumes.js";
import type { RandomStream } from "../common/random.js";
import { Tensor } from "../native/tensor.js";
import { smooth } from "../native/volumes.js";
import { byDiffusion, diffusionFaults, eitherWay, imagePair } from "./by-diffusion.js";
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
import { inputAsItIs } from "./trivial/distortion-correction.js";
import type { Trivial, TrivialAnswer } from "./trivial/trivial.js";
import { asAnswer, firstChannel, voxelsOf } from "./trivial/voxels.js";

const options = {
  image: imageOption.describe("the image that is made noisy. Default: the reference"),
  noise: z
    .number()
    .gt(0)
    .max(1)
    .default(0.1)
    .describe(
      "the standard deviation of the noise in either channel of the receiver, as a share of the intensities' range from 0 to 1",
    ),
  channelFill,
  ...eitherWay,
};

const kind = "denoising";

type Own = Named<Pick<OptionsOf<typeof options>, "image" | "noise" | "channelFill">>;

/**
 * An image [D, H, W] as a magnitude image of noisy receivers shows it (Gudbjartsson & Patz 1995): |x + n1 + i n2|, both n
 * normal. By a square root: Math.hypot, which guards against overflow too, takes three times as long.
 */
export async function withRicianNoise(image: Tensor, deviation: number, draw: RandomStream): Promise<Tensor> {
  const seed = () => draw.integer(0, 2 ** 31 - 1);
  using real = await Tensor.normal(image.shape, seed());
  using imaginary = await Tensor.normal(image.shape, seed());
  const [x, first, second] = await Promise.all([image, real, imaginary].map(voxelsOf));
  const noisy = (x as Float32Array).map((value, voxel) => {
    const re = value + deviation * (first?.[voxel] as number);
    const im = deviation * (second?.[voxel] as number);
    return Math.sqrt(re * re + im * im);
  });
  return Tensor.from(noisy, image.shape, image.device);
}

const noisyOf = async (volumes: CaseVolumes, own: Own, draw: RandomStream): Promise<Tensor> => {
  using image = await volumes.load(imageOf(own));
  return await withRicianNoise(image, own.noise, draw);
};

const needsOf = (own: Own): Task["needs"] => [{ oneOf: [imageOf(own)] }];

const denoising = (own: Own): Task => ({
  name: own.name ?? kind,
  shape: { answers: "voxels", channels: 1, outputs: 1, depthScale: 1 },
  loss: () => ({ kind: "l1" }),
  ...judgedBySsim,
  chance: "input",
  ...needing(...needsOf(own)),

  imagesShown: (channels) => filledChannels(1, channels, own.channelFill),

  async sample(volumes, channels, draw) {
    using noisy = await noisyOf(volumes, own, draw);
    using image = await volumes.load(imageOf(own));
    return sampleOf(await stackChannels([noisy], channels, own.channelFill), image);
  },

  picture: (sample, prediction) => imagePicture(sample, prediction),
});

/** The noisy image as it is, and smoothed by Gaussians, in voxels. */
const trivialDenoising = (): Trivial => {
  const by = (deviation: number): TrivialAnswer => ({
    name: `Gaussian of ${deviation} voxels`,
    async answer(_volumes, input) {
      using noisy = await firstChannel(input);
      using smoothed = await smooth(noisy, [deviation, deviation, deviation]);
      return await asAnswer(smoothed);
    },
  });
  return { name: "smoothing", fit: async () => [inputAsItIs, by(0.5), by(0.75), by(1), by(1.5)] };
};

export const denoisingTask = defineTask({
  kind,
  label: "Denoising",
  about:
    "An image with planted Rician noise, as magnitude images of MRI have it, to the image as it was. The noise is drawn anew for " +
    "every sample; a test case has the same one for every network. L1 loss; SSIM with a data range of 1. What takes no network is " +
    "the noisy image as it is, or smoothed by the best of four Gaussians.",
  options,
  metric: ssimMetric,
  specialised: "unet-3d",
  complete: onReference,
  faults: ({ image, diffusion }, prepared) => [
    ...diffusionFaults(diffusion, ["diffusion"]),
    ...imageFault({ image }, prepared.columns),
    ...ssimFaults(kind, prepared, image),
  ],
  create: ({ diffusion, ...own }, strategy) =>
    strategy === "direct"
      ? denoising(own)
      : byDiffusion(
          {
            name: own.name ?? kind,
            needs: needsOf(own),
            images: async (volumes, draw) =>
              imagePair(await volumes.load(imageOf(own)), () => noisyOf(volumes, own, draw)),
          },
          { ...diffusion, channelFill: own.channelFill },
        ),
  trivial: trivialDenoising,
});
