import { throwIfAborted } from "../common/errors.js";
import { encoderParameters } from "../models/weights.js";
import type { Network } from "../native/network.js";
import { Trainer, type TrainerOptions } from "../native/trainer.js";
import type { Batch } from "./train.js";

/** After so many batches a thousandth is left of what a batch norm's statistics were: each keeps nine tenths of them. */
const batchesSeen = 66;

/** The names of the encoder's parameters that are learnt, where it has a batch norm; empty where it has none. */
function normedEncoder(network: Network): string[] {
  const own = new Set(encoderParameters(network));
  const ofEncoder = network.parameters.filter(({ name }) => own.has(name));
  return ofEncoder.some(({ name, buffer }) => buffer && name.endsWith(".running_mean"))
    ? ofEncoder.filter(({ buffer }) => !buffer).map(({ name }) => name)
    : [];
}

/**
 * Gives the batch norms of an encoder that was drawn at random, and is not trained, the statistics of training cases. As
 * drawn they have seen nothing, and let features grow from block to block: such an encoder would be worse than random
 * weights are. No weight changes. Without effect on encoders without batch norm.
 *
 * @param batch the batch of that index, from 0 on
 */
export async function settleNormStatistics(
  network: Network,
  { loss }: Pick<TrainerOptions, "loss">,
  batch: (index: number) => Promise<Batch>,
  signal: AbortSignal,
): Promise<void> {
  const trainable = normedEncoder(network);
  if (trainable.length === 0) return;
  // Steps at a rate of 0: the pass forward of a training is what moves the statistics.
  using trainer = await Trainer.create(network, { loss, trainable, weightDecay: 0 });
  for (let index = 0; index < batchesSeen; index++) {
    throwIfAborted(signal);
    const { input, target } = await batch(index);
    try {
      await trainer.step(input, target, { learningRate: 0, seed: index });
    } finally {
      input.dispose();
      target.dispose();
    }
  }
}
