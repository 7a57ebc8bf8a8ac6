import { encoderArchitectures, specialisedArchitectures } from "./architectures/index.js";

type PresetsOf<Architecture> = Architecture extends { presets: infer Presets }
  ? (of: Presets) => void
  : never;
/** Of a union of families, the presets of all of them in one. */
type AllPresets<Architecture> = PresetsOf<Architecture> extends (of: infer All) => void ? All : never;

/** Encoders by name: those of each family, at a published size and at one for two CPU cores. */
export const encoders: AllPresets<(typeof encoderArchitectures)[keyof typeof encoderArchitectures]> =
  Object.assign({}, ...Object.values(encoderArchitectures).map(({ presets }) => presets));

export type EncoderName = keyof typeof encoders;

/** Specialised models by name: those of each family, at a full size and at one for two CPU cores (`-demo`). */
export const specialisedModels: AllPresets<
  (typeof specialisedArchitectures)[keyof typeof specialisedArchitectures]
> = Object.assign({}, ...Object.values(specialisedArchitectures).map(({ presets }) => presets));

export type SpecialisedName = keyof typeof specialisedModels;

export const encoderNames = Object.keys(encoders) as [EncoderName, ...EncoderName[]];
export const specialisedNames = Object.keys(specialisedModels) as [SpecialisedName, ...SpecialisedName[]];
