import type { KeyMap } from "../key-map.js";

/** ProFound fine-tuned to classify (pipiwang/ProFound, `models/classifier.py`): our names are its names. */
export const profoundClassification: KeyMap = {
  name: "profound-classification",
  title: "ProFound with its classification head",
  family: "convnext-v2-3d",
  signs: [
    { name: "^encoder\\.stages\\.\\d+\\.\\d+\\.dwconv\\.weight$", axes: 5 },
    { name: "^head\\.0\\.weight$", axes: 2 },
    { name: "^head\\.1\\.running_mean$" },
  ],
  rules: [],
};
