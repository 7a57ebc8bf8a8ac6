import { z } from "zod";
import { section } from "../common/validation.js";
import type { EncoderSpec, HeadSpec, UNetSpec } from "../native/network.js";
import { encoderNames, encoders, specialisedModels, specialisedNames } from "./catalogue.js";

const size = z.int().min(1).max(65_536);
const four = z.tuple([size, size, size, size]);

/** A 3D ConvNeXt V2 (Woo et al. 2023): channels of the input, blocks and features of its four stages. */
export const convNeXtSchema = section({
  family: z.literal("convnext-v2-3d"),
  channels: size,
  depths: four,
  dims: four,
  dropPath: z.number().min(0).lt(1).optional(),
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

/** An encoder: the name of a preset, or a specification. */
export const encoderSchema = z.union([
  z.enum(encoderNames),
  z.discriminatedUnion("family", [convNeXtSchema, dinoVitSchema]),
]);

/** What stands on the encoder for tasks that answer voxel by voxel; the defaults are those published with ProFound. */
export const decoderSchema = z.discriminatedUnion("kind", [
  section({
    kind: z.literal("upernet"),
    hidden: size.default(512),
    auxiliary: size.default(256),
  }),
  section({ kind: z.literal("unetr"), featureSize: size.default(16) }),
]);

/** What stands on the encoder for super-resolution: UNETR features, then a subpixel shuffle. */
export const subpixelSchema = section({ featureSize: size.default(16) });

/** A 3D U-Net (Çiçek et al. 2016); channels, outputs and the scale of the depth follow from the task. */
export const uNetSchema = section({
  family: z.literal("unet-3d"),
  features: size,
  levels: z.int().min(2).max(8),
});

/** A specialised model: the name of a preset, or a specification. */
export const specialisedSchema = z.union([z.enum(specialisedNames), uNetSchema]);

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
  section({ kind: z.literal("conv1"), outputs: size }),
  section({
    kind: z.literal("contrastive"),
    outputs: size,
    hidden: size.optional(),
    bottleneck: size.optional(),
    prototypes: size.optional(),
  }),
]);

export type EncoderChoice = z.infer<typeof encoderSchema>;
export type DecoderSpec = z.infer<typeof decoderSchema>;
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

/** What a network must answer: channels in and out, and how many slices out for each one in. */
export interface NetworkTask {
  channels: number;
  outputs: number;
  depthScale: 1 | 2;
}

/** The head that gives an encoder the output of a task. */
export const headOf = (task: NetworkTask, decoder: DecoderSpec, subpixel: SubpixelSpec): HeadSpec =>
  task.depthScale === 2
    ? { kind: "subpixel", outputs: task.outputs, ...subpixel }
    : { ...decoder, outputs: task.outputs };

/** A specialised model, completed by what the task asks for. */
export const specialisedOf = (choice: SpecialisedChoice, task: NetworkTask): UNetSpec => {
  const { family, features, levels } = typeof choice === "string" ? specialisedModels[choice] : choice;
  return { family, features, levels, ...task };
};
