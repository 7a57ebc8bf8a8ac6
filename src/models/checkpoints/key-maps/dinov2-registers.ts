import type { KeyMap } from "../key-map.js";
import { positionsOfAnyGrid } from "./vision-rules.js";

/**
 * DINOv2 with registers (facebookresearch/dinov2, `dinov2/models/vision_transformer.py`), as published or from its
 * training program, which may keep the blocks in chunks: the second number then counts through all of them. The axis
 * tokens are ProViCNet's, and not in such a file.
 */
export const dinov2Registers: KeyMap = {
  name: "dinov2-registers",
  title: "DINOv2 with registers",
  family: "dino-vit",
  signs: [
    { name: "^(?:backbone\\.)?register_tokens$" },
    { name: "^(?:backbone\\.)?patch_embed\\.proj\\.weight$", axes: 4 },
  ],
  rules: [
    { from: "^(?:backbone\\.)?blocks\\.\\d+\\.(\\d+)\\.(.+)$", to: "backbone.blocks.$1.$2" },
    positionsOfAnyGrid,
    { from: "^(?:backbone\\.)?(cls_token|register_tokens|mask_token)$", to: "backbone.$1" },
    { from: "^(?:backbone\\.)?((?:patch_embed|blocks|norm)\\..+)$", to: "backbone.$1" },
  ],
  absent: ["^axis_(?:pos|max)\\."],
};
