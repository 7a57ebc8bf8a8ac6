import { z } from "zod";
import { TransferLimitsError } from "../common/errors.js";
import { section } from "../common/validation.js";
import type { EncoderSpec, HeadSpec, ModelSpec, NetworkSpec } from "../native/network-spec.js";
import { encoderNames, encoders, specialisedModels, specialisedNames } from "./catalogue.js";

const size = z.int().min(1).max(65_536);
const four = z.tuple([size, size, size, size]);
const edge = z.int().min(1).max(256);

/** A 3D ConvNeXt V2 (Woo et al. 2023): channels of the input, blocks and features of its four stages. */
export const convNeXtSchema = section({
  family: z.literal("convnext-v2-3d"),
  channels: size,
  depths: four,
  dims: four,
  dropPath: z.number().min(0).lt(1).optional(),
});

/** A 3D ResNet (He et al. 2016) of bottleneck blocks: channels of the input and after the first convolution. */
export const resNetEncoderSchema = section({
  family: z.literal("resnet-3d"),
  channels: size,
  features: size.max(4096),
  blocks: four,
});

/** A vision transformer over slices (Oquab et al. 2024), with ProViCNet's axis tokens. */
export const dinoVitSchema = section({
  family: z.literal("dino-vit"),
  channels: size,
  patch: size,
  embedDim: size,
  depth: size,
  heads: size,
  registers: z.int().min(0).max(65_536),
  axisTokens: z.union([z.literal(0), z.literal(2)]),
});

/** An encoder by its sizes. */
export const encoderSpecSchema = z.discriminatedUnion("family", [
  convNeXtSchema,
  resNetEncoderSchema,
  dinoVitSchema,
]);

/** An encoder: the name of a preset, or a specification. */
export const encoderSchema = z.union([z.enum(encoderNames), encoderSpecSchema]);

/** What stands on the encoder for tasks that answer voxel by voxel; the defaults are those published with ProFound. */
export const decoderSchema = z.discriminatedUnion("kind", [
  section({
    kind: z.literal("upernet"),
    hidden: size.default(512),
    auxiliary: size.default(256),
  }),
  section({ kind: z.literal("unetr"), featureSize: size.default(16) }),
  section({ kind: z.literal("conv1"), width: size.default(16) }),
]);

/**
 * What stands on the encoder where a task is learnt by diffusion. The noise of single voxels can be told by a decoder
 * alone that sees the input at its full resolution, as UNETR does on every family.
 */
export const denoiserSchema = decoderSchema.default({ kind: "unetr", featureSize: 16 });

/** What stands on the encoder for classification; the default is the one published with ProFound. */
export const classifierSchema = section({ bottleneck: size.default(256) });

/** What stands on the encoder for super-resolution: dense features, then a subpixel shuffle. */
export const subpixelSchema = section({ featureSize: size.default(16) });

/** A 3D U-Net (Çiçek et al. 2016); channels, outputs and the scale of the depth follow from the task. */
export const uNetSchema = section({
  family: z.literal("unet-3d"),
  features: size,
  levels: z.int().min(2).max(8),
});

const levels = z.int().min(2).max(8);

/** A 3D ResNet (He et al. 2016) of bottleneck blocks, for tasks that answer with classes. */
export const resNetSchema = section({ family: z.literal("resnet-3d"), features: size, blocks: four });

/** A 3D TransUNet (Chen et al. 2021); `heads` divide the coarsest level's features. */
export const transUNetSchema = section({
  family: z.literal("transunet-3d"),
  features: size,
  levels,
  depth: size,
  heads: size,
}).refine(({ features, levels, heads }) => (features * 2 ** (levels - 1)) % heads === 0, {
  path: ["heads"],
  error: "expected a divisor of features x 2^(levels - 1), the features of the coarsest level",
});

/** A vision transformer with patch reconstruction (Dosovitskiy et al. 2021); a patch is [depth, height, width]. */
export const vitSchema = section({
  family: z.literal("vit-3d"),
  patch: z.tuple([edge, edge, edge]),
  embedDim: size,
  depth: size,
  heads: size,
}).refine(({ embedDim, heads }) => embedDim % heads === 0, {
  path: ["heads"],
  error: "expected a divisor of embedDim",
});

/** The U-Net of denoising diffusion (Ho et al. 2020) in 3D. */
export const diffusionUNetSchema = section({
  family: z.literal("diffusion-unet-3d"),
  features: size.refine((features) => features % 2 === 0, "expected an even number"),
  levels,
});

/** A specialised model: the name of a preset, or a specification. */
export const specialisedSchema = z.union([
  z.enum(specialisedNames),
  z.discriminatedUnion("family", [resNetSchema, uNetSchema, transUNetSchema, vitSchema, diffusionUNetSchema]),
]);

/** Any head, as `Network.create` takes it; sizes left out are the published ones. */
export const headSchema = z.discriminatedUnion("kind", [
  section({ kind: z.literal("classifier"), classes: size, bottleneck: size.optional() }),
  section({
    kind: z.literal("upernet"),
    outputs: size,
    hidden: size.optional(),
    auxiliary: size.optional(),
  }),
  section({ kind: z.literal("unetr"), outputs: size, featureSize: size.optional() }),
  section({ kind: z.literal("subpixel"), outputs: size, featureSize: size.optional() }),
  section({
    kind: z.literal("masked-autoencoder"),
    patch: size.optional(),
    decoderDim: size.optional(),
    decoderDepth: size.optional(),
  }),
  section({ kind: z.literal("conv1"), outputs: size, width: size.optional() }),
  section({
    kind: z.literal("contrastive"),
    outputs: size,
    hidden: size.optional(),
    bottleneck: size.optional(),
    prototypes: size.optional(),
  }),
]);

/** Intensities as a softmax over bins of equal width. */
export const intensityOutputSchema = section({
  bins: z.int().min(2).max(4096),
  low: z.number(),
  high: z.number(),
  addedToInput: z.boolean().default(false),
}).refine(({ low, high }) => low < high, { path: ["high"], error: "expected a number above low" });

/** An encoder: the name of a preset, such as `profound-tiny`, or an `EncoderSpec`. */
export type EncoderChoice = z.infer<typeof encoderSchema>;
export type DecoderSpec = z.infer<typeof decoderSchema>;
export type ClassifierSpec = z.infer<typeof classifierSchema>;
export type SubpixelSpec = z.infer<typeof subpixelSchema>;
export type SpecialisedChoice = z.infer<typeof specialisedSchema>;

/** The specification behind a preset's name; a specification stays as it is. */
export function encoderOf(choice: EncoderChoice): EncoderSpec {
  if (typeof choice === "string") return encoders[choice];
  return withoutUndefined(choice) as EncoderSpec;
}

/** Without the keys whose value is undefined: what the native side reads as given. */
export const withoutUndefined = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T;

/** What a network must answer: classes or voxels, channels in and out, and how many slices out for each one in. */
export interface NetworkTask {
  answers: "voxels" | "classes";
  channels: number;
  outputs: number;
  depthScale: 1 | 2;
  /** Whether the last channel holds a time step. */
  timed?: true;
}

/**
 * Channels of the input that a network is shown. A slice-wise encoder whose channels are a multiple of the task's takes
 * the task's own and fills the rest with adjacent slices; any other takes its channels filled from the volume's.
 */
export function channelsShown(network: NetworkSpec, ofTask: number): number {
  if ("model" in network) return network.model.channels;
  const { family, channels } = network.encoder;
  return family === "dino-vit" && channels % ofTask === 0 ? ofTask : channels;
}

/** The decoder that was published with each family of encoders; a ResNet has that of a ConvNeXt, to be compared with it. */
export const publishedDecoder = (family: EncoderSpec["family"]): DecoderSpec =>
  family === "dino-vit" ? { kind: "conv1", width: 16 } : { kind: "upernet", hidden: 512, auxiliary: 256 };

/** The head that gives an encoder the output of a task. */
export function headOf(
  task: NetworkTask,
  heads: { decoder: DecoderSpec; denoiser: DecoderSpec; subpixel: SubpixelSpec; classifier: ClassifierSpec },
): HeadSpec {
  if (task.answers === "classes") return { kind: "classifier", classes: task.outputs, ...heads.classifier };
  if (task.timed) return { ...heads.denoiser, outputs: task.outputs };
  if (task.depthScale === 2) return { kind: "subpixel", outputs: task.outputs, ...heads.subpixel };
  return { ...heads.decoder, outputs: task.outputs };
}

/**
 * A specialised model, completed by what the task asks for.
 *
 * @throws `BAD_CONFIG` where a model of that family cannot answer the task
 */
export function specialisedOf(choice: SpecialisedChoice, task: NetworkTask): ModelSpec {
  const model = typeof choice === "string" ? specialisedModels[choice] : choice;
  const { channels, outputs, depthScale } = task;
  if ((model.family === "resnet-3d") !== (task.answers === "classes")) {
    throw new TransferLimitsError(
      "BAD_CONFIG",
      task.answers === "classes"
        ? `Expected a model of the family resnet-3d for a task that answers with classes but received ${model.family}.`
        : `Expected a model that answers with volumes (${voxelFamilies.join(", ")}) but received ${model.family}, ` +
            "which answers with classes.",
    );
  }
  switch (model.family) {
    case "resnet-3d":
      return { ...model, blocks: [...model.blocks], channels, classes: outputs };
    case "unet-3d":
    case "transunet-3d":
      return { ...model, channels, outputs, depthScale };
    case "vit-3d":
    case "diffusion-unet-3d": {
      if (model.family === "diffusion-unet-3d" && !task.timed) {
        throw new TransferLimitsError(
          "BAD_CONFIG",
          "Expected a model for a task without time steps but received diffusion-unet-3d, which denoises",
        );
      }
      if (depthScale === 1) {
        if (model.family === "vit-3d") return { ...model, patch: [...model.patch], channels, outputs };
        return { ...model, channels, outputs };
      }
      throw new TransferLimitsError(
        "BAD_CONFIG",
        "Expected a model of the family unet-3d or transunet-3d for a task that doubles the number of slices but " +
          `received ${model.family}, which cannot.`,
      );
    }
  }
}

const voxelFamilies = ["unet-3d", "transunet-3d", "vit-3d", "diffusion-unet-3d"] as const;
