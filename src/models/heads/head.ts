import type { z } from "zod";
import type { EncoderSpec, HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import type { Size } from "../architectures/size.js";
import { coarser, type Extents, type Work } from "../architectures/work.js";

/** Everything about a kind of head that is not computed. What it answers stands at `HeadSpec`. */
export interface HeadKind<Spec extends HeadSpec = HeadSpec> {
  readonly kind: Spec["kind"];
  /** As `Network.create` takes it: sizes left out are the published ones. */
  readonly schema: z.ZodType;
  /** Whether batch norm stands in it, on an encoder that goes slice by slice or on one of volumes. */
  batchNorm(slices: boolean): boolean;
  /** On an encoder of volumes: a volume is padded to multiples of so many voxels before the encoder sees it. */
  readonly padsTo?: number;
  /** What it takes to compute, on features of an input. */
  work(head: Spec, encoder: EncoderSpec, extents: Extents): Work;
  /** What training it takes in memory, for each case at once. */
  size(head: Spec, encoder: EncoderSpec, voxels: number): Size;
}

/** The grid of a pyramid's map, finest first: strides of 4, 8 and 16, and the deepest's own. */
export function gridOf(encoder: EncoderSpec, extents: Extents, stage: number): Extents {
  const { deepestStride } = architectureOf(encoder);
  return coarser(extents, stage < 3 ? 4 * 2 ** stage : (deepestStride ?? 32));
}

/** Positions of the finest map that a convolutional encoder of volumes gives. */
export const finestPositions = (voxels: number): number => voxels / 64;

/** Patches of an encoder that goes slice by slice; of another none. */
export const patchesOf = (encoder: EncoderSpec, voxels: number): number =>
  voxels / (architectureOf(encoder).patch?.(encoder) ?? Number.POSITIVE_INFINITY) ** 2;
