import type { Rule } from "../key-map.js";

/** The position embedding of a vision transformer, which may have been trained on images of another size than ours is for. */
export const positionsOfAnyGrid: Rule = {
  from: "^(?:backbone\\.)?pos_embed$",
  to: "backbone.pos_embed",
  layout: { positions: "resize" },
};
