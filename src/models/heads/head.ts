import type { z } from "zod";
import type { EncoderSpec, HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import type { Size } from "../architectures/size.js";

/** Everything about a kind of head that is not computed. What it answers stands at `HeadSpec`. */
export interface HeadKind<Spec extends HeadSpec = HeadSpec> {
  readonly kind: Spec["kind"];
  /** As `Network.create` takes it: sizes left out are the published ones. */
  readonly schema: z.ZodType;
  /** Whether batch norm stands in it, on an encoder that goes slice by slice or on one of volumes. */
  batchNorm(slices: boolean): boolean;
  /** Roughly how many multiplications it takes on features of an input of `voxels`. */
  cost(head: Spec, encoder: EncoderSpec, voxels: number): number;
  /** What training it takes in memory, for each case at once. */
  size(head: Spec, encoder: EncoderSpec, voxels: number): Size;
}

/** Positions of the finest map that a convolutional encoder of volumes gives. */
export const finestPositions = (voxels: number): number => voxels / 64;

/** Patches of an encoder that goes slice by slice; of another none. */
export const patchesOf = (encoder: EncoderSpec, voxels: number): number =>
  voxels / (architectureOf(encoder).patch?.(encoder) ?? Number.POSITIVE_INFINITY) ** 2;
