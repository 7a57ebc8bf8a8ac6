import type { KeyMap } from "../key-map.js";

/**
 * The encoder of MONAI's Swin UNETR: of a whole network (`swinViT.`, once `swin_vit.`), alone as its self-supervised
 * pretraining was published (`module.`), whose two linear layers have other names, as disruptive autoencoders have it
 * (`layers1.0.0.`), and under our own names. Which offset stands where in a window (`relative_position_index`) is
 * computed; the decoder, a last norm and the heads of a pretraining are left over.
 */
const under = "^(?:backbone\\.)?(?:swinViT\\.|swin_vit\\.|encoder\\.)?";
const stage = "(layers[1-4]\\.0\\.)(?:0\\.)?";

export const swinUnetrEncoder: KeyMap = {
  name: "swin-unetr-3d",
  title: "MONAI's Swin UNETR, or its encoder under our own names",
  family: "swin-unetr-3d",
  signs: [
    { name: `${under}patch_embed\\.proj\\.weight$`, axes: 5 },
    { name: `${under}${stage}blocks\\.0\\.attn\\.relative_position_bias_table$`, axes: 2 },
  ],
  rules: [
    { from: `${under}${stage}(blocks\\.\\d+\\.mlp\\.)fc([12])\\.(.+)$`, to: "encoder.$1$2linear$3.$4" },
    { from: `${under}${stage}((?:blocks|downsample)\\..+)$`, to: "encoder.$1$2" },
    { from: `${under}(patch_embed\\.proj\\.weight)$`, to: "encoder.$1", layout: { channels: "spread" } },
    { from: `${under}((?:patch_embed|layers[1-4]c?)\\..+)$`, to: "encoder.$1" },
  ],
  foreign: [
    { name: "^encoder\\.layers[1-4]c\\.", means: "Swin UNETR of the second version (use_v2 of MONAI)" },
  ],
};
