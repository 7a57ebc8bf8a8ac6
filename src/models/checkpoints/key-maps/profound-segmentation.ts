import type { KeyMap } from "../key-map.js";

const dense = { name: "^encoder\\.stages\\.\\d+\\.\\d+\\.dwconv\\.weight$", axes: 5 };

/** ProFound fine-tuned to segment with UperNet (pipiwang/ProFound, `models/upernet_module.py`): our names are its names. */
export const profoundUperNet: KeyMap = {
  name: "profound-segmentation-upernet",
  title: "ProFound with a UperNet decoder",
  family: "convnext-v2-3d",
  signs: [dense, { name: "^decode_head\\." }],
  rules: [],
};

/** ProFound fine-tuned to segment with UNETR (pipiwang/ProFound, `models/convnext_unter.py`): our names are its names. */
export const profoundUnetr: KeyMap = {
  name: "profound-segmentation-unetr",
  title: "ProFound with a UNETR decoder",
  family: "convnext-v2-3d",
  signs: [dense, { name: "^decoder\\.(?:encoder1|decoder5)\\." }],
  rules: [],
};
