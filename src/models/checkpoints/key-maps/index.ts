import { encoderArchitectures } from "../../architectures/index.js";
import type { KeyMap } from "../key-map.js";
import { convNeXt2dCentre, convNeXt2dMean } from "./convnext-v2-2d.js";
import { dinov2Registers } from "./dinov2-registers.js";
import { inflatedResNet } from "./inflated-resnet.js";
import { medicalNet } from "./medicalnet.js";
import { profoundClassification } from "./profound-classification.js";
import { profoundMaskedAutoencoder } from "./profound-masked-autoencoder.js";
import { profoundUnetr, profoundUperNet } from "./profound-segmentation.js";
import { provicnet, provicnetContrastive } from "./provicnet.js";

/** Every source that is known: published ones, and those of each family. Of several that fit a file equally well, the first is taken: the particular ones lead. */
export const keyMaps: readonly KeyMap[] = [
  profoundMaskedAutoencoder,
  profoundClassification,
  profoundUperNet,
  profoundUnetr,
  provicnetContrastive,
  provicnet,
  dinov2Registers,
  convNeXt2dCentre,
  convNeXt2dMean,
  inflatedResNet,
  medicalNet,
  ...Object.values(encoderArchitectures).flatMap((architecture): readonly KeyMap[] => architecture.keyMaps),
];

export const keyMapNames = keyMaps.map(({ name }) => name);
