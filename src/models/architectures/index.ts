import type { EncoderSpec, EncoderSpecs, ModelSpec } from "../../native/network-spec.js";
import type { EncoderArchitecture, SpecialisedArchitecture } from "./architecture.js";
import { convNeXtV2 } from "./convnext-v2-3d.js";
import { denseNet } from "./densenet-3d.js";
import { diffusionUNet } from "./diffusion-unet-3d.js";
import { dinoVit } from "./dino-vit.js";
import { residualEncoder } from "./residual-encoder-3d.js";
import { resNetClassifier, resNetEncoder } from "./resnet-3d.js";
import { swinUnetr } from "./swin-unetr-3d.js";
import { torchScript } from "./torchscript.js";
import { transUNet } from "./transunet-3d.js";
import { uNet } from "./unet-3d.js";
import { vit } from "./vit-3d.js";

/** Every family of encoders: a new one is imported above and gets its line here. */
const families = [
  convNeXtV2,
  resNetEncoder,
  residualEncoder,
  swinUnetr,
  denseNet,
  dinoVit,
  torchScript,
] as const;

type ByFamily = { [Architecture in (typeof families)[number] as Architecture["family"]]: Architecture };

/** Every family of encoders by its name. */
export const encoderArchitectures = Object.fromEntries(
  families.map((architecture) => [architecture.family, architecture]),
) as ByFamily satisfies { [Family in keyof EncoderSpecs]: EncoderArchitecture<EncoderSpecs[Family]> };

/** Every family of specialised models. */
export const specialisedArchitectures = {
  "resnet-3d": resNetClassifier,
  "unet-3d": uNet,
  "transunet-3d": transUNet,
  "vit-3d": vit,
  "diffusion-unet-3d": diffusionUNet,
} as const satisfies {
  [Family in ModelSpec["family"]]: SpecialisedArchitecture<Extract<ModelSpec, { family: Family }>>;
};

/** What is known of an encoder's family, which is given no specification of another. */
export const architectureOf = ({ family }: Pick<EncoderSpec, "family">): EncoderArchitecture =>
  encoderArchitectures[family] as unknown as EncoderArchitecture;

/** What is known of a specialised model's family. */
export const specialisedArchitectureOf = ({ family }: Pick<ModelSpec, "family">): SpecialisedArchitecture =>
  specialisedArchitectures[family] as unknown as SpecialisedArchitecture;

/** Voxels from one of the encoder's deepest batch norm to the next; null where it has none. */
export const batchNormStrideOf = (encoder: EncoderSpec): number | null =>
  architectureOf(encoder).batchNormStride?.(encoder) ?? null;

/** Whether the encoder is what a file holds, with its weights. */
export const comesFromFile = (encoder: EncoderSpec): encoder is Extract<EncoderSpec, { file: string }> =>
  architectureOf(encoder).comesFromFile === true;
