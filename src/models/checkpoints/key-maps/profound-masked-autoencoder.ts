import type { KeyMap } from "../key-map.js";

/**
 * The checkpoints of ProFound's pretraining (pipiwang/ProFound, `models/fcmae.py`): the encoder is made of sparse
 * convolutions, whose kernels have another layout and whose norms and linear layers have one more name part. The
 * encoder's last norm is not trained there, and not in the file.
 */
export const profoundMaskedAutoencoder: KeyMap = {
  name: "profound-masked-autoencoder",
  title: "ProFound's masked autoencoder, with sparse convolutions",
  family: "convnext-v2-3d",
  signs: [
    { name: "^encoder\\.stages\\.\\d+\\.\\d+\\.dwconv\\.kernel$", axes: 2 },
    { name: "^encoder\\.downsample_layers\\.0\\.0\\.weight$", axes: 5 },
  ],
  rules: [
    { from: "^(encoder\\..+)\\.kernel$", to: "$1.weight", layout: { sparse: 3 } },
    { from: "^(encoder\\..+)\\.(?:ln|linear)\\.(weight|bias)$", to: "$1.$2" },
  ],
  absent: ["^encoder\\.norm\\."],
};
