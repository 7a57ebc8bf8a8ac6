import { z } from "zod";
import { TransferLimitsError } from "../common/errors.js";
import { section } from "../common/validation.js";
import type { EncoderSpec, HeadSpec, ModelSpec, NetworkSpec } from "../native/network-spec.js";
import type { NetworkTask, SpecialisedArchitecture } from "./architectures/architecture.js";
import {
  architectureOf,
  encoderArchitectures,
  specialisedArchitectureOf,
  specialisedArchitectures,
} from "./architectures/index.js";
import { size } from "./architectures/sizes.js";
import { encoderNames, encoders, specialisedModels, specialisedNames } from "./catalogue.js";
import { heads } from "./heads/index.js";

export type { NetworkTask } from "./architectures/architecture.js";

const familySchemas = Object.values(encoderArchitectures).map(({ schema }) => schema);
type FamilySchema = (typeof familySchemas)[number];
/** An encoder by its sizes. */
export const encoderSpecSchema = z.discriminatedUnion(
  "family",
  familySchemas as [FamilySchema, ...FamilySchema[]],
);

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

const specialisedSchemas = Object.values(specialisedArchitectures).map(({ schema }) => schema);
type SpecialisedFamilySchema = (typeof specialisedSchemas)[number];

/** A specialised model: the name of a preset, or a specification. */
export const specialisedSchema = z.union([
  z.enum(specialisedNames),
  z.discriminatedUnion(
    "family",
    specialisedSchemas as [SpecialisedFamilySchema, ...SpecialisedFamilySchema[]],
  ),
]);

/** Any head, as `Network.create` takes it; sizes left out are the published ones. */
export const headSchema = z.discriminatedUnion("kind", [
  heads.classifier.schema,
  heads.upernet.schema,
  heads.unetr.schema,
  heads.subpixel.schema,
  heads["masked-autoencoder"].schema,
  heads.conv1.schema,
  heads.contrastive.schema,
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

/**
 * Channels of the input that a network is shown. A slice-wise encoder whose channels are a multiple of the task's takes
 * the task's own and fills the rest with adjacent slices; any other takes its channels filled from the volume's.
 */
export function channelsShown(network: NetworkSpec, ofTask: number): number {
  if ("model" in network) return network.model.channels;
  const { channels } = network.encoder;
  return architectureOf(network.encoder).slices && channels % ofTask === 0 ? ofTask : channels;
}

/** The decoder that was published with each family of encoders, at its published sizes. */
export const publishedDecoder = (encoder: EncoderSpec): DecoderSpec =>
  decoderSchema.parse({ kind: architectureOf(encoder).decoders[0] });

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
  const sizes = typeof choice === "string" ? specialisedModels[choice] : choice;
  const architecture = specialisedArchitectureOf(sizes);
  if (architecture.answers !== task.answers) {
    throw new TransferLimitsError(
      "BAD_CONFIG",
      task.answers === "classes"
        ? `Expected a model of the family ${familiesThat(({ answers }) => answers === "classes")} for a task that answers with classes but received ${sizes.family}.`
        : `Expected a model that answers with volumes (${familiesThat(({ answers }) => answers === "voxels")}) but received ${sizes.family}, ` +
            "which answers with classes.",
    );
  }
  if (architecture.denoises && !task.timed) {
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `Expected a model for a task without time steps but received ${sizes.family}, which denoises`,
    );
  }
  if (task.depthScale === 2 && !architecture.doublesDepth) {
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `Expected a model of the family ${familiesThat(({ doublesDepth }) => doublesDepth, " or ")} for a task that doubles the number of slices but ` +
        `received ${sizes.family}, which cannot.`,
    );
  }
  return architecture.complete(sizes as never, task);
}

type Abilities = Pick<SpecialisedArchitecture, "answers" | "doublesDepth">;

const familiesThat = (does: (abilities: Abilities) => boolean, joint = ", "): string =>
  Object.values(specialisedArchitectures)
    .filter(does)
    .map(({ family }) => family)
    .join(joint);
