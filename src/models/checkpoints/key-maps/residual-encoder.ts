import type { KeyMap } from "../key-map.js";

/**
 * The residual encoder of nnU-Net under the names of dynamic-network-architectures, as nnU-Net, nnssl and OpenMind write
 * it, and under our own, which are the same. Their files name each layer twice more: in `all_modules`, and below the
 * decoder. What is named so, and the decoder itself, is left over.
 */
export const nnunetResidualEncoder: KeyMap = {
  name: "residual-encoder-3d",
  title: "nnU-Net's residual encoder, of nnU-Net, nnssl or OpenMind, or under our own names",
  family: "residual-encoder-3d",
  signs: [
    { name: "^(?:encoder\\.)?stem\\.convs\\.0\\.conv\\.weight$", axes: 5 },
    { name: "^(?:encoder\\.)?stages\\.0\\.blocks\\.0\\.conv1\\.conv\\.weight$", axes: 5 },
  ],
  rules: [
    { from: "^(?=.*\\.all_modules\\.)(.+)$", to: "twice.$1" },
    { from: "^(?:encoder\\.)?((?:stem|stages)\\..+)$", to: "encoder.$1" },
  ],
};
