import type { EncoderSpec, HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { nothing, type Size } from "../architectures/size.js";
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

/** Roughly how many multiplications a head takes; none where there is none. */
export const headCost = (head: HeadSpec | undefined, encoder: EncoderSpec, voxels: number): number =>
  head ? kindOf(head).cost(head, encoder, voxels) : 0;

/** What training a head takes in memory, for each case at once. */
export const headSize = (head: HeadSpec | undefined, encoder: EncoderSpec, voxels: number): Size =>
  head ? kindOf(head).size(head, encoder, voxels) : nothing;
