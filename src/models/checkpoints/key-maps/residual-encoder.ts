import { again, type KeyMap } from "../key-map.js";

/**
 * The residual encoder of nnU-Net under the names of dynamic-network-architectures, as nnU-Net, nnssl and OpenMind write
 * it, and under our own, which are the same. Their files name each layer twice more: in `all_modules`, and below the
 * decoder. What is named so, the decoder itself, and the tokens and projections of a pretraining are left over. A stem that saw one channel
 * becomes one of several as nnU-Net makes it: by equal shares.
 */
const under = "^(?:backbone\\.)?(?:encoder\\.)?";

export const nnunetResidualEncoder: KeyMap = {
  name: "residual-encoder-3d",
  title: "nnU-Net's residual encoder, of nnU-Net, nnssl or OpenMind, or under our own names",
  family: "residual-encoder-3d",
  signs: [
    { name: `${under}stem\\.convs\\.0\\.conv\\.weight$`, axes: 5 },
    { name: `${under}stages\\.0\\.blocks\\.0\\.conv1\\.conv\\.weight$`, axes: 5 },
  ],
  rules: [
    { from: "^(?=.*\\.all_modules\\.)(.+)$", to: `${again}$1` },
    {
      from: `${under}(stem\\.convs\\.0\\.conv\\.weight)$`,
      to: "encoder.$1",
      layout: { channels: "spread" },
    },
    { from: `${under}((?:stem|stages)\\..+)$`, to: "encoder.$1" },
  ],
  foreign: [
    {
      name: "^encoder\\.stages\\..*\\.squeeze_excitation\\.",
      means: "a residual encoder with squeeze and excitation",
    },
    { name: "^encoder\\.stages\\..*\\.conv3\\.", means: "a residual encoder of bottleneck blocks" },
  ],
};
