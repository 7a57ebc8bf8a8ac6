import type { KeyMap } from "../key-map.js";

/**
 * MedicalNet (Tencent/MedicalNet, `models/resnet.py`; Chen et al. 2019) of any depth, with
 * torchvision's names, as MONAI has them too. Its files wrap the network (`module.`) and see one channel, whose
 * kernel is shared out among ours. A classifier's or a segmentation's last layers (`fc`, `conv_seg`) are left over.
 */
export const medicalNet: KeyMap = {
  name: "medicalnet",
  title: "MedicalNet, or another 3D ResNet under torchvision's names",
  family: "resnet-3d",
  signs: [
    { name: "^conv1\\.weight$", axes: 5 },
    { name: "^layer4\\.0\\.conv2\\.weight$", axes: 5 },
  ],
  rules: [
    { from: "^conv1\\.weight$", to: "encoder.conv1.weight", layout: { channels: "spread" } },
    { from: "^((?:bn1|layer[1-4])\\..+)$", to: "encoder.$1" },
  ],
};
