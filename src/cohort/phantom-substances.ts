import type { PhantomTissue } from "../native/volumes.js";

/** What a tissue is made of, as the signal equations see it. */
export type Substance = Pick<
  PhantomTissue,
  "t2Milliseconds" | "adc" | "protonDensity" | "texture" | "textureSize"
> & { fat?: number };

/**
 * A substance: T2 in ms, ADC in 1e-6 mm²/s, proton density relative to water; texture as a share of T2 and its size in
 * mm. Values lie within what is reported for 3 T, chosen so that contrasts on T2W (echo time 100 ms), ADC and high-b
 * images are those that a radiologist expects.
 */
const substance = (
  t2Milliseconds: number,
  adc: number,
  protonDensity: number,
  texture: number,
  textureSize: number,
  fat = 0,
): Substance => ({ t2Milliseconds, adc, protonDensity, texture, textureSize, fat });

export const substances = {
  fat: substance(125, 200, 0.9, 0.16, 7, 0.95),
  muscle: substance(46, 1350, 0.8, 0.08, 3),
  marrow: substance(92, 450, 0.6, 0.14, 5, 0.8),
  cortex: substance(20, 300, 0.15, 0, 1),
  vessel: substance(150, 1800, 0.8, 0.2, 2),
  venousPlexus: substance(150, 1700, 0.8, 0.35, 2.5),
  bowelWall: substance(68, 1250, 0.8, 0.1, 3),
  stool: substance(62, 900, 0.55, 0.3, 4),
  gas: substance(5, 0, 0, 0, 1),
  bladderWall: substance(58, 1300, 0.8, 0.05, 3),
  urine: substance(420, 2900, 1, 0, 1),
  seminalVesicle: substance(210, 1900, 0.9, 0.45, 2.6),
  capsule: substance(55, 1150, 0.75, 0, 1),
  peripheral: substance(172, 1700, 0.92, 0.26, 4.5),
  transition: substance(92, 1380, 0.86, 0.32, 4.5),
  glandularNodule: substance(175, 1650, 0.92, 0.35, 3),
  stromalNodule: substance(74, 1120, 0.82, 0.1, 3),
  mixedNodule: substance(118, 1400, 0.88, 0.4, 3),
  fibromuscular: substance(52, 1080, 0.78, 0.06, 3),
  urethra: substance(170, 1700, 0.9, 0, 1),
  /** The ends between which a lesion's conspicuity runs. */
  lesions: {
    peripheral: { faint: { t2Milliseconds: 118, adc: 1330 }, marked: { t2Milliseconds: 70, adc: 620 } },
    transition: { faint: { t2Milliseconds: 80, adc: 1130 }, marked: { t2Milliseconds: 58, adc: 600 } },
  },
} as const;
