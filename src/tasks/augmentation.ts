import { z } from "zod";
import type { CaseVolumes } from "../cohort/case-volumes.js";
import type { RandomStream } from "../common/random.js";
import { section } from "../common/validation.js";
import { type Intensity, type Motion, moveVolume } from "../native/augmentation.js";

/** The axes of a patient, in the order of a volume's [D, H, W]. */
export const patientAxes = ["inferior-superior", "anterior-posterior", "left-right"] as const;
export type PatientAxis = (typeof patientAxes)[number];

const axis = z.enum(patientAxes);
const voxels = z.int().min(0).max(4096);

type Shift = number | Record<PatientAxis, number>;

/** How training cases are changed anew in every epoch. What is left out is left as it is; at least one thing is not. */
export const augmentationSchema = section({
  /** Axes along which a case is flipped, each by itself; the prostate is nearly symmetric from left to right. */
  flip: z
    .array(axis)
    .refine((axes) => new Set(axes).size === axes.length, "expected each axis once")
    .default([]),
  /** Of each flip. */
  flipProbability: z.number().gt(0).max(1).default(0.5),
  /** The largest shift in whole voxels, along every axis or along those that are named; what moves in is 0. */
  shift: z
    .union([
      voxels,
      section({
        "inferior-superior": voxels.default(0),
        "anterior-posterior": voxels.default(0),
        "left-right": voxels.default(0),
      }),
    ])
    .default(0),
  /** How far the input's intensities change, the answer's never: x becomes gain x + offset. */
  intensity: section({
    /** The gain lies in [1 - scale, 1 + scale]. */
    scale: z.number().min(0).lt(1).default(0),
    /** The offset lies in [-offset, offset], of images that are mostly in [0, 1]. */
    offset: z.number().min(0).max(10).default(0),
  }).prefault({}),
}).refine(
  (settings) =>
    settings.flip.length > 0 ||
    shiftsOf(settings).some((shift) => shift > 0) ||
    settings.intensity.scale > 0 ||
    settings.intensity.offset > 0,
  "expected at least one of flip, shift and intensity to change something, or null for no augmentation",
);

/** How training cases are changed anew in every epoch: `training.augmentation` of a study, with its defaults. */
export type Augmentation = z.output<typeof augmentationSchema>;

/** The largest shift along each axis of a volume [D, H, W], in voxels. */
export const shiftsOf = ({ shift }: { shift: Shift }): [number, number, number] =>
  patientAxes.map((name) => (typeof shift === "number" ? shift : shift[name])) as [number, number, number];

/** What chance decides of one case in one epoch: a stream for each thing, so that no setting changes another's draws. */
export type AugmentationDraw = (what: "flip" | "shift" | "intensity") => RandomStream;

/** Draws how a case is moved. */
export function drawMotion(settings: Augmentation, draw: AugmentationDraw): Motion {
  const [flips, shifts] = [draw("flip"), draw("shift")];
  // Every axis takes a draw, whether it is asked for or not: the others' stay the same.
  const chances = patientAxes.map(() => flips.uniform());
  const flipped = patientAxes.flatMap((name, index) =>
    settings.flip.includes(name) && (chances[index] as number) < settings.flipProbability ? [index] : [],
  );
  const along = (most: number) => Math.floor((2 * most + 1) * shifts.uniform()) - most;
  const [depth, height, width] = shiftsOf(settings);
  return { flipped, shift: [along(depth), along(height), along(width)] };
}

/** Draws the intensities of a case's images, of which there are `images`. */
export function drawIntensities(
  { intensity: { scale, offset } }: Augmentation,
  images: number,
  draw: AugmentationDraw,
): Intensity[] {
  const stream = draw("intensity");
  return Array.from({ length: images }, () => ({
    gain: stream.between(1 - scale, 1 + scale),
    offset: stream.between(-offset, offset),
  }));
}

/**
 * The same case, moved: its images and its masks alike, so that whatever a task makes of them fits together. Nothing is
 * moved before it is loaded, nor kept.
 */
export function movedCase(volumes: CaseVolumes, motion: Motion): CaseVolumes {
  if (motion.flipped.length === 0 && motion.shift.every((shift) => shift === 0)) return volumes;
  return {
    ...volumes,
    moved: { from: volumes, motion },
    load: async (role, device) => {
      using volume = await volumes.load(role, device);
      return moveVolume(volume, motion);
    },
  };
}

/** Settings in words, for people who read a plan or a report. */
export function augmentationInWords(settings: Augmentation): string {
  const { flip, flipProbability, shift, intensity } = settings;
  const voxelsOf = (most: number) => `${most} ${most === 1 ? "voxel" : "voxels"}`;
  const shifts =
    typeof shift === "number"
      ? shift > 0
        ? [`${voxelsOf(shift)} along each axis`]
        : []
      : patientAxes.flatMap((name) => (shift[name] > 0 ? [`${voxelsOf(shift[name])} ${name}`] : []));
  return [
    ...(flip.length > 0 ? [`flipped ${flip.join(", ")} with probability ${flipProbability}`] : []),
    ...(shifts.length > 0 ? [`shifted by up to ${shifts.join(", ")}`] : []),
    ...(intensity.scale > 0
      ? [`intensities of the input scaled by up to ±${Number((100 * intensity.scale).toFixed(2))} %`]
      : []),
    ...(intensity.offset > 0 ? [`intensities of the input offset by up to ${intensity.offset}`] : []),
  ].join("; ");
}
