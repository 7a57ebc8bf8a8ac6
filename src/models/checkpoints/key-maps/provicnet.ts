import type { KeyMap, Rule, Sign } from "../key-map.js";
import { positionsOfAnyGrid } from "./vision-rules.js";

const signs: readonly Sign[] = [
  { name: "^backbone\\.register_tokens$" },
  { name: "^axis_pos\\.weight$", axes: 2 },
];

const rules: readonly Rule[] = [
  positionsOfAnyGrid,
  // Newer versions of PyTorch keep the two factors of a normalised weight under these names.
  { from: "^(CL_Head\\.last_layer)\\.parametrizations\\.weight\\.original0$", to: "$1.weight_g" },
  { from: "^(CL_Head\\.last_layer)\\.parametrizations\\.weight\\.original1$", to: "$1.weight_v" },
];

/**
 * ProViCNet (pimed/ProViCNet, `ModelArchitectures/ProViCNet/ProViCNet.py`): one file each for T2, ADC and DWI, which
 * differ in their numbers and not in their names. Our names are its names.
 */
export const provicnet: KeyMap = {
  name: "provicnet",
  title: "ProViCNet for T2, ADC or DWI",
  family: "dino-vit",
  signs,
  rules,
};

/** ProViCNet as it comes from pretraining, with its contrastive head. */
export const provicnetContrastive: KeyMap = {
  name: "provicnet-contrastive",
  title: "ProViCNet for T2, ADC or DWI, with its contrastive head",
  family: "dino-vit",
  signs: [...signs, { name: "^CL_Head\\." }],
  rules,
};
