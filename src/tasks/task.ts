import type { RandomStream } from "../common/random.js";
import type { TaskKind } from "../common/vocabulary.js";
import type { LossSpec } from "../native/network.js";
import { Tensor } from "../native/tensor.js";
import type { CaseVolumes, VolumeRole } from "./case-volumes.js";

/** Channels of the input that the task has by itself, channels of the output, and slices out for each slice in. */
export interface TaskShape {
  channels: number;
  outputs: number;
  depthScale: 1 | 2;
}

/** What a network is shown and what it should answer: input [C, D, H, W], target [outputs, depthScale * D, H, W]. */
export interface Sample extends Disposable {
  input: Tensor;
  target: Tensor;
}

/** One axial slice of a case for the report: each [H, W]. */
export interface Picture extends Disposable {
  /** The slice's index in the target. */
  slice: number;
  input: Tensor;
  target: Tensor;
  prediction: Tensor;
}

/**
 * A downstream task: how a case becomes a sample, by which loss a network learns it and by which metric it is judged.
 * It knows neither networks nor training.
 */
export interface Task {
  readonly kind: TaskKind;
  readonly shape: TaskShape;
  readonly loss: LossSpec;
  /** Larger is better. */
  readonly metric: string;
  /** What target and prediction are in pictures. */
  readonly pictures: "mask" | "image";
  /** Why a case with just these volumes cannot take part; null where it can. */
  missing(volumes: readonly VolumeRole[]): string | null;
  /**
   * The sample of a case, for a network that takes `channels`. What the task leaves to chance is drawn from `draw`:
   * the same stream gives the same sample.
   */
  sample(volumes: CaseVolumes, channels: number, draw: RandomStream): Promise<Sample>;
  /** The metric of each sample of a batch: prediction (the network's answer) and target [N, outputs, D, H, W]. */
  score(prediction: Tensor, target: Tensor): Promise<number[]>;
  /** The slice of a sample that shows most, with the network's answer [1, outputs, D, H, W] to it. */
  picture(sample: Sample, prediction: Tensor): Promise<Picture>;
}

/** How a network that takes more channels than a task has is fed: the channels repeated in turn, or zeros. */
export type ChannelFill = "repeat" | "zeros";

/** Stacks volumes [D, H, W] to an input [channels, D, H, W]. */
export async function stackChannels(
  volumes: readonly Tensor[],
  channels: number,
  fill: ChannelFill,
): Promise<Tensor> {
  const indices = Array.from({ length: channels }, (_, channel) => channel);
  if (fill === "repeat" || channels <= volumes.length) {
    return Tensor.gather(
      volumes,
      indices.map((channel) => channel % volumes.length),
    );
  }
  using zeros = await (volumes[0] as Tensor).threshold(Number.POSITIVE_INFINITY);
  return Tensor.gather(
    [...volumes, zeros],
    indices.map((channel) => Math.min(channel, volumes.length)),
  );
}

/** A sample or a picture that disposes of its tensors. */
export const disposable = <T extends object>(parts: T): T & Disposable => ({
  ...parts,
  [Symbol.dispose]() {
    for (const part of Object.values(parts)) {
      if (typeof part === "object" && part !== null && Symbol.dispose in part)
        (part as Disposable)[Symbol.dispose]();
    }
  },
});
