import { z } from "zod";
import type { IntensityOutput } from "../native/network-spec.js";
import type { Tensor } from "../native/tensor.js";
import { byDiffusion, diffusionFaults, eitherWay, type ImageTask, imagePair } from "./by-diffusion.js";
import { columnFault, defineTask, type Named, type OptionsOf } from "./definition.js";
import { Distorter, type FieldSource, masksOf, mendOf } from "./distorting.js";
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
import { trivialDistortionCorrection } from "./trivial/distortion-correction.js";

const kind = "distortion-correction";

const options = {
  /** The image that is distorted; default: the cohort's reference. */
  image: imageOption,
  /** What fields decay from, in place of `source`: a mask of the cohort that shows something in the crop. */
  mask: z.string().min(1).optional(),
  /** The largest displacement, in mm. The paper gives none of these numbers. */
  maximumDisplacement: z.number().positive().default(6),
  /** The distance from there over which displacements fall to 1/e, in mm. */
  decay: z.number().positive().default(15),
  /** The distance between the coefficients of the random B-spline, in mm: how smooth the field is. */
  smoothness: z.number().min(1).default(30),
  /** The direction along which voxels move. */
  phaseEncoding: z.enum(["anterior-posterior", "left-right"]).default("anterior-posterior"),
  /**
   * What fields decay from: `rectum` leaves out cases without a rectum mask; `rectum-or-behind-gland` lets the field
   * start right behind the gland where there is none; by `everywhere` it decays nowhere. Default: `rectum` where the cohort
   * has that mask, otherwise `everywhere`.
   */
  source: z.enum(["rectum", "rectum-or-behind-gland", "everywhere"]).optional(),
  /** A case whose `mask` or `source` shows nothing: it takes no part, or its field decays nowhere. */
  withoutMask: z.enum(["left-out", "everywhere"]).default("left-out"),
  /**
   * Bins of the softmax over intensities that a foundation model answers with, as the paper builds this task; null: it
   * answers with the intensity itself. The paper gives no number.
   */
  intensityBins: z.int().min(2).max(1024).nullable().default(32),
  /**
   * What those bins are of: the `image` (default, as the paper builds it), or its `difference` from the distorted image,
   * from -1 to 1, which is what an untrained network then answers. Needs `intensityBins`.
   */
  answers: z.enum(["image", "difference"]).default("image"),
  channelFill,
  ...eitherWay,
};

type AllOptions = OptionsOf<typeof options>;
export type DistortionCorrectionOptions = Omit<AllOptions, keyof typeof eitherWay>;

const intensitiesOf = (answers: DistortionCorrectionOptions["answers"], bins: number): IntensityOutput =>
  answers === "image" ? { bins, low: 0, high: 1 } : { bins, low: -1, high: 1, addedToInput: true };

function needsOf(options: FieldSource & Pick<DistortionCorrectionOptions, "image">): Task["needs"] {
  const image = { oneOf: [imageOf(options)] } as const;
  const masks = masksOf(options);
  if (masks === null || options.withoutMask === "everywhere") return [image];
  return [
    image,
    {
      oneOf: masks,
      holds: "mask",
      shown: true,
      ...(options.mask === undefined ? {} : { use: "lets its fields decay from" }),
      ...(masks.length === 1 ? { mend: mendOf(masks[0]) } : {}),
    },
  ];
}

/**
 * Distortion correction (task 4 of the paper): T2W, or another image, distorted by a random field that decays from the
 * rectum, from another mask, or nowhere, to the image as it was. L1 loss; SSIM with a data range of 1, as images are normalised to [0, 1]. No field folds: see `distortionField`.
 */
export function distortionCorrection(options: Named<DistortionCorrectionOptions>): Task {
  const distorter = new Distorter(options);
  return {
    name: options.name ?? kind,
    shape: {
      answers: "voxels",
      channels: 1,
      outputs: 1,
      depthScale: 1,
      ...(options.intensityBins === null
        ? {}
        : { intensities: intensitiesOf(options.answers, options.intensityBins) }),
    },
    loss: () => ({ kind: "l1" }),
    ...judgedBySsim,

    chance: "input",

    ...needing(...needsOf(options)),

    imagesShown: (channels) => filledChannels(1, channels, options.channelFill),

    async sample(volumes, channels, draw) {
      using distorted = await distorter.image(volumes, draw);
      using original = await volumes.load(imageOf(options));
      const input = await stackChannels([distorted], channels, options.channelFill);
      return sampleOf(input, original);
    },

    picture: (sample, prediction) => imagePicture(sample, prediction, mostDistorted),
  };
}

/** The same for a diffusion model, which sees the distorted T2W. */
function distortionCorrectionImages(options: Named<DistortionCorrectionOptions>): ImageTask {
  const distorter = new Distorter(options);
  return {
    name: options.name ?? kind,
    needs: needsOf(options),
    images: async (volumes, draw) =>
      imagePair(await volumes.load(imageOf(options)), () => distorter.image(volumes, draw)),
    slice: mostDistorted,
  };
}

/** The slice in which two volumes [D, H, W] differ most. */
async function mostDistorted(distorted: Tensor, original: Tensor): Promise<number> {
  const [input, target] = [await distorted.toArray(), await original.toArray()];
  const slices = original.shape[0] as number;
  const size = target.length / slices;
  const differences = Array.from({ length: slices }, (_, slice) => {
    let sum = 0;
    for (let voxel = slice * size; voxel < (slice + 1) * size; voxel++)
      sum += Math.abs(Number(input[voxel]) - Number(target[voxel]));
    return sum;
  });
  return differences.indexOf(Math.max(...differences));
}

export const distortionCorrectionTask = defineTask({
  kind,
  label: "Distortion correction",
  options,
  metric: ssimMetric,
  specialised: "vit-3d",
  complete: (given, columns) => {
    const usual = "rectum" in columns.masks ? "rectum" : "everywhere";
    const source = given.source ?? (given.mask === undefined ? usual : undefined);
    return { ...onReference(given, columns), ...(source === undefined ? {} : { source }) };
  },
  faults: ({ image, mask, source, answers, intensityBins, diffusion }, prepared) => {
    const withoutBins = {
      of: "task" as const,
      path: ["answers"],
      message:
        'expected a number of "intensityBins" beside "difference", whose bins they are, but received null',
    };
    const bothSources = {
      of: "task" as const,
      path: ["source"],
      message: `expected none beside "mask", from which fields decay in its place, but received "${source}"`,
    };
    return [
      ...(mask !== undefined && source !== undefined ? [bothSources] : []),
      ...(answers === "difference" && intensityBins === null ? [withoutBins] : []),
      ...diffusionFaults(diffusion, ["diffusion"]),
      ...imageFault({ image }, prepared.columns),
      ...columnFault(prepared.columns, "masks", ["mask"], mask),
      ...ssimFaults(kind, prepared, image),
    ];
  },
  create: ({ diffusion, ...own }, strategy) =>
    strategy === "direct"
      ? distortionCorrection(own)
      : byDiffusion(distortionCorrectionImages(own), { ...diffusion, channelFill: own.channelFill }),
  trivial: trivialDistortionCorrection,
});
