import { throwIfAborted } from "../../common/errors.js";
import { encoderParameters } from "../../models/weights.js";
import type { Network } from "../../native/network.js";
import { Trainer, type TrainerOptions } from "../../native/trainer.js";
import { batchesOfStatistics } from "../plan/plan.js";
import type { Batch } from "./batch.js";

/** The names of what the encoder's batch norms learn; empty where it has none. */
function ofBatchNorms(network: Network): string[] {
  const own = new Set(encoderParameters(network));
  const mean = ".running_mean";
  const norms = network.parameters
    .filter(({ name, buffer }) => own.has(name) && buffer && name.endsWith(mean))
    .map(({ name }) => name.slice(0, -mean.length));
  return network.parameters
    .filter(({ name, buffer }) => !buffer && norms.some((norm) => name.startsWith(`${norm}.`)))
    .map(({ name }) => name);
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
  const trainable = ofBatchNorms(network);
  if (trainable.length === 0) return;
  using trainer = await Trainer.create(network, { loss, trainable, weightDecay: 0 });
  for (let index = 0; index < batchesOfStatistics; index++) {
    throwIfAborted(signal);
    const { input, target } = await batch(index);
    try {
      await trainer.settle(input, target, index);
    } finally {
      input.dispose();
      target.dispose();
    }
  }
}
