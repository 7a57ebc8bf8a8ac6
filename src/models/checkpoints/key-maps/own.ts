import type { KeyMap } from "../key-map.js";
import { positionsOfAnyGrid } from "./vision-rules.js";

/** What this package writes, and any ConvNeXt V2 of volumes with the published names, with or without a prefix. */
export const ownConvNeXt: KeyMap = {
  name: "convnext-v2-3d",
  title: "a ConvNeXt V2 of volumes under our own names",
  family: "convnext-v2-3d",
  signs: [{ name: "^(?:(?:encoder|backbone)\\.)?downsample_layers\\.0\\.0\\.weight$", axes: 5 }],
  rules: [
    { from: "^(?:encoder\\.|backbone\\.)?((?:downsample_layers|stages|norm)\\..+)$", to: "encoder.$1" },
  ],
};

/** What this package writes for 3D ResNets with a head: torchvision's names under `encoder.`. */
export const ownResNet: KeyMap = {
  name: "resnet-3d",
  title: "a 3D ResNet under our own names",
  family: "resnet-3d",
  signs: [{ name: "^encoder\\.layer1\\.0\\.conv2\\.weight$", axes: 5 }],
  rules: [],
};

/** What this package writes for vision transformers: the names of ProViCNet. */
export const ownVisionTransformer: KeyMap = {
  name: "dino-vit",
  title: "a vision transformer over slices under our own names",
  family: "dino-vit",
  signs: [{ name: "^backbone\\.patch_embed\\.proj\\.weight$", axes: 4 }],
  rules: [positionsOfAnyGrid],
};

/** Weights for a TorchScript module, under the names that its file has: what this package writes, or a state dict of it. */
export const ownTorchScript: KeyMap = {
  name: "torchscript",
  title: "a TorchScript module under its own names",
  family: "torchscript",
  // Names tell nothing of which module they are of.
  signs: [{ name: "^(?!)" }],
  rules: [],
};
