import { throwIfAborted } from "../../common/errors.js";
import { encoderParameters } from "../../models/parameters.js";
import type { PlacedNetwork } from "../../native/placed-network.js";
import { Tensor } from "../../native/tensor.js";
import { Trainer, type TrainerOptions } from "../../native/trainer.js";
import type { Batch } from "./batch.js";

/** A batch norm's two running statistics, its count of batches where it has one, and what it learns, by name. */
interface BatchNorm {
  statistics: string[];
  counters: string[];
  learnt: string[];
}

function batchNormsOf(network: PlacedNetwork): BatchNorm[] {
  const own = new Set(encoderParameters(network));
  const mean = ".running_mean";
  const named = network.parameters.filter(({ name }) => own.has(name));
  return named
    .filter(({ name, buffer }) => buffer && name.endsWith(mean))
    .map(({ name }) => name.slice(0, -mean.length))
    .map((norm) => ({
      statistics: [`${norm}.running_mean`, `${norm}.running_var`],
      counters: named.filter(({ name }) => name === `${norm}.num_batches_tracked`).map(({ name }) => name),
      learnt: named
        .filter(({ name, buffer }) => !buffer && name.startsWith(`${norm}.`))
        .map(({ name }) => name),
    }));
}

type Statistics = Map<string, Float32Array>;

async function read(network: PlacedNetwork, names: readonly string[]): Promise<Statistics> {
  const state = await network.state(names);
  try {
    const values: Statistics = new Map();
    for (const name of names) values.set(name, (await (state[name] as Tensor).toArray()) as Float32Array);
    return values;
  } finally {
    for (const tensor of Object.values(state)) tensor.dispose();
  }
}

/** @param counters counts of batches, set to 0: a norm without a momentum takes up the inverse of its count */
async function write(
  network: PlacedNetwork,
  statistics: Statistics,
  counters: readonly string[] = [],
): Promise<void> {
  const { device } = network;
  const tensors: Record<string, Tensor> = Object.fromEntries<Tensor>([
    ...[...statistics].map(([name, values]): [string, Tensor] => [
      name,
      Tensor.from(values, [values.length], device),
    ]),
    ...counters.map((name): [string, Tensor] => [name, Tensor.from(BigInt64Array.of(0n), [], device)]),
  ]);
  try {
    await network.assign(tensors);
  } finally {
    for (const tensor of Object.values(tensors)) tensor.dispose();
  }
}

const lengthOf = (values: Iterable<number>): number => {
  let sum = 0;
  for (const value of values) sum += Math.abs(value);
  return sum;
};

/**
 * What share of a batch's own statistics a norm takes up: after the same batch from 0, and from what came of that, they are
 * m b and (1 - m) m b + m b, whose ratio is 2 - m. A norm that saw nothing but zeros takes them up whole.
 */
function shareTakenUp({ statistics }: BatchNorm, once: Statistics, twice: Statistics): number {
  const over = (values: Statistics) =>
    statistics.reduce((sum, name) => sum + lengthOf(values.get(name) as Float32Array), 0);
  const first = over(once);
  return first === 0 ? 1 : 2 - over(twice) / first;
}

/**
 * Gives the batch norms of an encoder that was drawn at random, and is not trained, the statistics of training cases: the
 * mean over batches of each batch's own, whatever share of them a norm takes up (Wu and Johnson 2021, "precise" batch
 * norm). As drawn they have seen nothing, and let features grow from block to block: such an encoder would be worse than
 * random weights are. No weight changes. Without effect on encoders without batch norm.
 *
 * @param batches how many
 * @param batch the batch of that index, from 0 on
 */
export async function settleNormStatistics(
  network: PlacedNetwork,
  { loss }: Pick<TrainerOptions, "loss">,
  batches: number,
  batch: (index: number) => Promise<Batch>,
  signal: AbortSignal,
): Promise<void> {
  const norms = batchNormsOf(network);
  if (norms.length === 0) return;
  const names = norms.flatMap(({ statistics }) => statistics);
  const counters = norms.flatMap((norm) => norm.counters);
  using trainer = await Trainer.create(network, {
    loss,
    trainable: norms.flatMap(({ learnt }) => learnt),
    weightDecay: 0,
  });
  const nothing: Statistics = new Map(
    [...(await read(network, names))].map(([name, values]) => [name, new Float32Array(values.length)]),
  );
  const sums = new Map(
    names.map((name) => [name, new Float64Array((nothing.get(name) as Float32Array).length)]),
  );
  const shares = new Map<string, number>();
  for (let index = 0; index < batches; index++) {
    throwIfAborted(signal);
    const { input, target } = await batch(index);
    try {
      await write(network, nothing, counters);
      await trainer.settle(input, target, index);
      const own = await read(network, names);
      if (index === 0) {
        await write(network, own, counters);
        await trainer.settle(input, target, index);
        const twice = await read(network, names);
        for (const norm of norms)
          for (const name of norm.statistics) shares.set(name, shareTakenUp(norm, own, twice));
      }
      for (const [name, sum] of sums)
        for (const [channel, value] of (own.get(name) as Float32Array).entries())
          sum[channel] = (sum[channel] as number) + value;
    } finally {
      input.dispose();
      target.dispose();
    }
  }
  await write(
    network,
    new Map(
      [...sums].map(([name, sum]) => [
        name,
        Float32Array.from(sum, (value) => value / batches / (shares.get(name) as number)),
      ]),
    ),
  );
}
