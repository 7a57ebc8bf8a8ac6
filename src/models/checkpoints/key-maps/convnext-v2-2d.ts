import type { KeyMap } from "../key-map.js";
import type { Layout } from "../layouts.js";

/**
 * ConvNeXt V2 of images (facebookresearch/ConvNeXt-V2), inflated to volumes, under three namings: the published one,
 * that of its masked autoencoder (sparse convolutions) and that of timm.
 */
const inflated = (name: string, title: string, inflate: NonNullable<Layout["inflate"]>): KeyMap => {
  const layout = { inflate };
  const block = "^stages\\.(\\d+)\\.blocks\\.(\\d+)\\.";
  return {
    name,
    title,
    family: "convnext-v2-3d",
    signs: [{ name: "^(?:(?:encoder\\.)?downsample_layers\\.0\\.0|stem\\.0)\\.weight$", axes: 4 }],
    rules: [
      { from: "^(encoder\\..+)\\.kernel$", to: "$1.weight", layout: { sparse: 2, inflate } },
      { from: "^(encoder\\..+)\\.(?:ln|linear)\\.(weight|bias)$", to: "$1.$2" },
      { from: "^stem\\.([01])\\.(.+)$", to: "encoder.downsample_layers.0.$1.$2", layout },
      {
        from: "^stages\\.(\\d+)\\.downsample\\.([01])\\.(.+)$",
        to: "encoder.downsample_layers.$1.$2.$3",
        layout,
      },
      { from: `${block}conv_dw\\.(.+)$`, to: "encoder.stages.$1.$2.dwconv.$3", layout },
      { from: `${block}mlp\\.fc([12])\\.(.+)$`, to: "encoder.stages.$1.$2.pwconv$3.$4", layout },
      { from: `${block}mlp\\.grn\\.weight$`, to: "encoder.stages.$1.$2.grn.gamma" },
      { from: `${block}mlp\\.grn\\.bias$`, to: "encoder.stages.$1.$2.grn.beta" },
      { from: `${block}norm\\.(.+)$`, to: "encoder.stages.$1.$2.norm.$3" },
      { from: "^head\\.norm\\.(.+)$", to: "encoder.norm.$1" },
      { from: "^(?:encoder\\.)?((?:downsample_layers|stages|norm)\\..+)$", to: "encoder.$1", layout },
    ],
  };
};

/** The middle slice of a kernel holds the kernel of the image: slices are seen one by one, as images were. */
export const convNeXt2dCentre = inflated(
  "convnext-v2-2d-centre",
  "ConvNeXt V2 of images, its kernels in the middle slice",
  "centre",
);

/** Every slice of a kernel holds the kernel of the image divided by their number (Carreira & Zisserman 2017). */
export const convNeXt2dMean = inflated(
  "convnext-v2-2d-mean",
  "ConvNeXt V2 of images, its kernels spread over all slices",
  "mean",
);
