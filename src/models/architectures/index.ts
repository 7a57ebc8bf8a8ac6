import type { EncoderSpec, ModelSpec } from "../../native/network-spec.js";
import type { EncoderArchitecture, SpecialisedArchitecture } from "./architecture.js";
import { convNeXtV2 } from "./convnext-v2-3d.js";
import { diffusionUNet } from "./diffusion-unet-3d.js";
import { dinoVit } from "./dino-vit.js";
import { residualEncoder } from "./residual-encoder-3d.js";
import { resNetClassifier, resNetEncoder } from "./resnet-3d.js";
import { swinUnetr } from "./swin-unetr-3d.js";
import { torchScript } from "./torchscript.js";
import { transUNet } from "./transunet-3d.js";
import { uNet } from "./unet-3d.js";
import { vit } from "./vit-3d.js";

/** Every family of encoders. */
export const encoderArchitectures = {
  "convnext-v2-3d": convNeXtV2,
  "resnet-3d": resNetEncoder,
  "residual-encoder-3d": residualEncoder,
  "swin-unetr-3d": swinUnetr,
  "dino-vit": dinoVit,
  torchscript: torchScript,
} as const satisfies {
  [Family in EncoderSpec["family"]]: EncoderArchitecture<Extract<EncoderSpec, { family: Family }>>;
};

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
