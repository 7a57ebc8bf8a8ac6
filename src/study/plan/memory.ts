import { architectureOf, specialisedArchitectureOf } from "../../models/architectures/index.js";
import { nothing, type Size } from "../../models/architectures/size.js";
import { headSize } from "../../models/heads/index.js";
import type { NetworkSpec } from "../../native/network-spec.js";
import type { Precision } from "../../native/placed-network.js";

/** What a worker process holds before it has a network: Node, LibTorch and its threads, 0.2 to 0.3 GB; on a GPU, CUDA's context. */
export const baseBytes = 3e8;

const bytesPerValue = 4;

/** How training is computed, as far as its memory goes. */
export interface Execution {
  precision: Precision;
  checkpointing: boolean;
}

/**
 * What bfloat16 leaves of the values that a transformer's blocks keep, as norms and softmax stay float32: `provicnet-small`
 * with two volumes of 16 x 224 x 224 takes 3.65 GB a step in float32 and 2.21 GB in bfloat16. Nothing is taken off for
 * convolutions: there a step of UperNet on `profound-tiny` takes from 13 % less (96 x 144 x 144) to 27 % more (64 x 96 x 96).
 * All on a CPU, by `scripts/step-memory.mjs`; on a GPU it is not measured.
 */
const bfloat16Share = 0.6;
/** Products in bfloat16 take copies of the weights. */
const bfloat16Bytes = 2;

/**
 * Roughly the most memory that working on a cell takes, in bytes: the process itself, the weights, for what is trained
 * the gradient and AdamW's two moments, and what training keeps for the way back. Closed form; it decides which cells
 * run side by side, nothing else.
 *
 * @param voxels of one input, after the task: [height, width, depth], or their product where slices are of whole patches
 * @param execution a second computation of blocks and bfloat16, as far as they measurably save memory
 * @param trained what training changes: which part of the encoder's blocks, from the last on, and whether the rest; and
 *   what part of what the encoder's blocks keep the way back needs, where that is more, as norms of all blocks are trained
 */
export function peakBytes(
  network: NetworkSpec,
  voxels: number | readonly [number, number, number],
  batchSize: number,
  trained: { encoder: number; head: boolean; kept?: number },
  { precision, checkpointing }: Execution,
): number {
  const { encoder, rest } = sizesOf(network, voxels);
  const narrow = precision === "bfloat16";
  const keptOf = ({ kept, recomputed, narrowed }: Size) =>
    kept -
    (checkpointing ? recomputed : 0) -
    // The inputs that checkpointing keeps stay float32.
    (narrow && !checkpointing ? (1 - bfloat16Share) * narrowed : 0);
  const of = (number: (size: Size) => number, share = trained.encoder) =>
    share * number(encoder) + (trained.head ? number(rest) : 0);
  const weights = encoder.parameters + rest.parameters;
  // Going forward or back, one layer's values and their gradients are alive beside what is kept.
  const transient = 2 * Math.max(encoder.transient, rest.transient);
  const values =
    weights + 3 * of(({ parameters }) => parameters) + batchSize * (of(keptOf, trained.kept) + transient);
  return baseBytes + bytesPerValue * values + (narrow ? bfloat16Bytes * weights : 0);
}

/** Parameters of a network's encoder, and of the rest. */
export function parametersOf(network: NetworkSpec): { encoder: number; rest: number } {
  const { encoder, rest } = sizesOf(network, 1);
  return { encoder: encoder.parameters, rest: rest.parameters };
}

function sizesOf(
  network: NetworkSpec,
  volume: number | readonly [number, number, number],
): { encoder: Size; rest: Size } {
  const voxels = typeof volume === "number" ? volume : volume[0] * volume[1] * volume[2];
  if ("encoder" in network) {
    const { encoder, head } = network;
    const { voxelsSeen = () => voxels } = architectureOf(encoder);
    const seen = typeof volume === "number" ? volume : voxelsSeen(encoder, volume);
    return {
      encoder: architectureOf(encoder).size(encoder, seen),
      rest: headSize(head, encoder, voxels),
    };
  }
  return { encoder: nothing, rest: specialisedArchitectureOf(network.model).size(network.model, voxels) };
}
