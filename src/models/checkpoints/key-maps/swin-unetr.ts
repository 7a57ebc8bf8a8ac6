import type { KeyMap } from "../key-map.js";

/**
 * The encoder of MONAI's Swin UNETR: of a whole network (`swinViT.`), of its self-supervised pretraining, whose two linear
 * layers have other names, and under our own names. Which offset stands where in a window (`relative_position_index`) is
 * computed, and the decoder left over.
 */
const under = "^(?:swinViT\\.|encoder\\.)?";
const mlp = "layers[1-4]\\.0\\.blocks\\.\\d+\\.mlp\\.";

export const swinUnetrEncoder: KeyMap = {
  name: "swin-unetr-3d",
  title: "MONAI's Swin UNETR, or its encoder under our own names",
  family: "swin-unetr-3d",
  signs: [
    { name: `${under}patch_embed\\.proj\\.weight$`, axes: 5 },
    { name: `${under}layers1\\.0\\.blocks\\.0\\.attn\\.relative_position_bias_table$`, axes: 2 },
  ],
  rules: [
    { from: `${under}(${mlp})fc([12])\\.(.+)$`, to: "encoder.$1linear$2.$3" },
    { from: `${under}((?:patch_embed|layers[1-4])\\..+)$`, to: "encoder.$1" },
  ],
};
