import type { EncoderSpec, HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { nothing, type Size } from "../architectures/size.js";
import { type Extents, paddedTo, type Work } from "../architectures/work.js";
import { classifier } from "./classifier.js";
import { contrastive } from "./contrastive.js";
import { conv1 } from "./conv1.js";
import type { HeadKind } from "./head.js";
import { maskedAutoencoder } from "./masked-autoencoder.js";
import { subpixel } from "./subpixel.js";
import { unetr } from "./unetr.js";
import { upernet } from "./upernet.js";

/** Every kind of head. */
export const heads = {
  classifier,
  upernet,
  unetr,
  subpixel,
  "masked-autoencoder": maskedAutoencoder,
  conv1,
  contrastive,
} as const satisfies { [Kind in HeadSpec["kind"]]: HeadKind & { kind: Kind } };

const kindOf = ({ kind }: HeadSpec): HeadKind => heads[kind];

/** Whether batch norm stands in the head of this encoder. */
export const headHasBatchNorm = (head: HeadSpec, encoder: EncoderSpec): boolean =>
  kindOf(head).batchNorm(architectureOf(encoder).slices);

/** A volume as the encoder under a head sees it. */
export const seenUnder = (head: HeadSpec | undefined, encoder: EncoderSpec, extents: Extents): Extents =>
  head && !architectureOf(encoder).slices ? paddedTo(extents, kindOf(head).padsTo ?? 1) : extents;

/** What a head takes to compute; nothing where there is none. */
export const headWork = (head: HeadSpec | undefined, encoder: EncoderSpec, extents: Extents): Work =>
  head ? kindOf(head).work(head, encoder, extents) : [];

/** What training a head takes in memory, for each case at once. */
export const headSize = (head: HeadSpec | undefined, encoder: EncoderSpec, voxels: number): Size =>
  head ? kindOf(head).size(head, encoder, voxels) : nothing;
