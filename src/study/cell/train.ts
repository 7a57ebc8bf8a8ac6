import { TransferLimitsError, throwIfAborted } from "../../common/errors.js";
import { average } from "../../common/numbers.js";
import { randomStream, seedFor } from "../../common/random.js";
import type { PlacedNetwork } from "../../native/placed-network.js";
import type { OwnPart, Ranks } from "../../native/ranks.js";
import { deviceSeconds, peakMemory } from "../../native/runtime.js";
import { Tensor } from "../../native/tensor.js";
import {
  type DistillationSchedule,
  type SliceViews,
  type StepSettings,
  Trainer,
  type TrainerOptions,
} from "../../native/trainer.js";
import type { EpochRecord, Retry } from "../../results/cell.js";
import type { Better } from "../../tasks/definition.js";
import type { Batch } from "./batch.js";
import type { CheckpointFolder, Spent, TrainingState } from "./checkpoint.js";

/** What a step of self-distillation sees, and its schedule. */
export interface ViewsBatch {
  views: SliceViews;
  schedule: DistillationSchedule;
}

type AnyBatch = Batch | ViewsBatch;

export interface TrainingSchedule {
  epochs: number;
  batchSize: number;
  learningRate: number;
  schedule: "cosine" | "constant";
  warmupEpochs: number;
  validateEvery: number;
}

/** A training, without knowledge of what is trained: a task or an encoder by itself. */
export interface Training {
  network: PlacedNetwork;
  /** Of self-distillation. */
  teacher?: PlacedNetwork;
  /**
   * The processes that train together: each calls this with the same training, and takes its part of every batch. Only rank
   * 0 validates and writes.
   */
  ranks?: Ranks | null;
  optimiser: TrainerOptions;
  schedule: TrainingSchedule;
  /** Cases of the training set. */
  cases: number;
  /** Under which seed and name the order of cases, and what is drawn inside a step, are drawn. */
  random: { seed: number; name: (string | number)[] };
  /**
   * The batch of these cases (indices), as it is in this epoch; `progress` is the share of all steps that lie before.
   * The loop disposes it.
   */
  batch(cases: readonly number[], epoch: number, progress: number): Promise<AnyBatch>;
  /** Cases that a batch must have; a last batch of fewer joins the one before it. Batch norm needs 2. */
  smallestBatch?: number;
  /**
   * The metric on the validation set; null where it is undefined. Null instead of a function: no such set. Where no epoch
   * has a metric, the last is the best.
   */
  validate: (() => Promise<number | null>) | null;
  /** Which values of that metric are the better ones; default: the higher. */
  better?: Better;
  checkpoints: CheckpointFolder;
  /** That memory was exhausted before: batches go through the network in its parts. What a state says goes before it. */
  retry?: Retry | null;
  signal: AbortSignal;
  /** Called after each epoch, before its state counts as saved: an epoch that is done again calls it again. */
  keep?(epoch: number): Promise<void>;
  onStart(startEpoch: number): void;
  onEpoch(record: EpochRecord, secondsLeft: number): void;
}

export interface Trained {
  /** After the last epoch. */
  state: TrainingState;
  /** What of `state.cost` this process spent. */
  here: { wallSeconds: number; deviceSeconds: number };
}

/** Steps that may be queued before the first of them is waited for: the device never idles, memory stays bounded. */
const stepsAhead = 3;

/** Steps whose losses are read at once: to read is to wait for the device. */
const stepsRead = 64;

/**
 * Trains for `schedule.epochs`, from where the checkpoints stand. Everything random is drawn from streams named after
 * the epoch, so that a training that was interrupted ends in the same bits as one that was not.
 */
export async function train(training: Training): Promise<Trained> {
  const { network, schedule, checkpoints, signal, ranks = null } = training;
  await ranks?.meet(network.device); // rank 0 has the folder of checkpoints in order
  const leads = ranks === null || ranks.rank === 0;
  const resumed = await checkpoints.read();
  const state: TrainingState = resumed ?? { epoch: 0, best: null, curve: [], cost: nothingSpent() };
  state.retry ??= training.retry ?? undefined;
  using trainer = await Trainer.createOfRanks(
    network,
    { ...training.optimiser, ...(state.retry ? { microBatch: state.retry.microBatch } : {}) },
    training.teacher,
    ranks,
  );
  if (resumed) await checkpoints.restore(resumed, network, trainer);
  training.onStart(state.epoch);
  const here = { wallSeconds: 0, deviceSeconds: 0 };

  /** The state after the epoch before is written while the next epoch runs. */
  let saving: Promise<void> = Promise.resolve();
  const spent = async () => ({
    device: await deviceSeconds(network.device), // waits until the device is done
    wall: performance.now(),
    embedded: network.embedded,
  });
  let before = await spent();
  try {
    while (state.epoch < schedule.epochs) {
      throwIfAborted(signal);
      const epoch = state.epoch + 1;
      const trainingLoss = await trainEpoch(training, trainer, epoch);
      const due = epoch % schedule.validateEvery === 0 || epoch === schedule.epochs;
      const metric = training.validate && due && leads ? await training.validate() : null;
      throwIfAborted(signal);

      state.epoch = epoch;
      const steps = batchesOf(
        Array(training.cases).fill(0),
        schedule.batchSize,
        training.smallestBatch,
      ).length;
      const learningRate = learningRateAt(schedule, (epoch - 1) * steps, steps);
      state.curve.push({ epoch, learningRate, trainingLoss, validationMetric: metric });
      if (isBest(state.best, metric, due, training.better)) state.best = { epoch, metric };

      const now = await spent();
      // What ranks waited for each other counts: their devices were taken.
      const own = [now.device - before.device, now.embedded - before.embedded];
      const [device = 0, embedded = 0] = ranks ? await ranks.sum(own, network.device) : own;
      state.cost.epochEmbedded.push(embedded);
      state.cost.epochSeconds.push((now.wall - before.wall) / 1000);
      for (const total of [state.cost, here]) total.wallSeconds += (now.wall - before.wall) / 1000;
      state.cost.deviceSeconds += device;
      here.deviceSeconds += own[0] as number;
      state.cost.peakMemoryBytes = Math.max(state.cost.peakMemoryBytes, peakMemory(network.device));
      before = now;
      if (!leads) continue;
      await saving;
      await training.keep?.(epoch);
      const write = await checkpoints.take(state, network, trainer);

      const recent = state.cost.epochSeconds.slice(-5);
      const pace = average(recent);
      const record = state.curve.at(-1) as EpochRecord;
      saving = handled(write().then(() => training.onEpoch(record, pace * (schedule.epochs - epoch))));
    }
    await saving;
  } catch (error) {
    await Promise.allSettled([saving]); // nothing may be half written when the error leaves
    throw error;
  }
  return { state, here };
}

export const nothingSpent = (): Spent => ({
  wallSeconds: 0,
  deviceSeconds: 0,
  peakMemoryBytes: 0,
  epochSeconds: [],
  epochEmbedded: [],
});

/**
 * Where no epoch has a metric every one is taken, so that the last one stays. Of equals the latest: early in training
 * Dice is often 0 epoch after epoch, while the loss falls.
 */
function isBest(
  best: TrainingState["best"],
  metric: number | null,
  due: boolean,
  better: Better = "higher",
): boolean {
  if (best === null || best.metric === null) return due;
  if (metric === null) return false;
  return better === "higher" ? metric >= best.metric : metric <= best.metric;
}

/** The cases of each step: `batchSize` of them, the last batch what is left, or joined to the one before. */
export function batchesOf(order: readonly number[], batchSize: number, smallest = 1): number[][] {
  const batches: number[][] = [];
  for (let start = 0; start < order.length; start += batchSize) {
    const batch = order.slice(start, start + batchSize);
    if (batch.length < smallest && batches.length > 0) batches.at(-1)?.push(...batch);
    else batches.push(batch);
  }
  return batches;
}

/** One pass over the training set; the mean loss, each case weighing the same. */
async function trainEpoch(training: Training, trainer: Trainer, epoch: number): Promise<number> {
  const { schedule, random, signal, ranks } = training;
  const indices = Array.from({ length: training.cases }, (_, index) => index);
  const order = randomStream(random.seed, ...random.name, "order", epoch).shuffle(indices);
  const batches = batchesOf(order, schedule.batchSize, training.smallestBatch);
  const steps = batches.length;
  let sum = 0;
  /** Of steps, in their order, whose losses are still on the device. */
  const unread: { index: number; reading: Tensor }[] = [];
  const queue: Promise<void>[] = [];

  const prepare = (step: number): Promise<AnyBatch> | undefined => {
    const cases = batches[step];
    const progress = ((epoch - 1) * steps + step) / (schedule.epochs * steps);
    return cases && handled(training.batch(ranks ? ranks.share(cases).cases : cases, epoch, progress));
  };
  const shareOf = (step: number) => ranks?.share(batches[step] as number[]);
  const step = async (batch: AnyBatch, index: number): Promise<void> => {
    try {
      const learningRate = learningRateAt(schedule, (epoch - 1) * steps + index, steps);
      const seed = seedFor(random.seed, ...random.name, "step", epoch, index);
      unread.push({ index, reading: await takeStep(trainer, batch, { learningRate, seed }, shareOf(index)) });
    } finally {
      disposeBatch(batch);
    }
  };
  const read = async (): Promise<void> => {
    const steps = unread.splice(0);
    const readings = steps.map(({ reading }) => reading);
    try {
      using all = await Tensor.gather(
        readings,
        readings.map((_, row) => row),
      );
      const values = await all.toArray(); // [steps, 2]: losses and norms of gradients
      for (const [row, { index }] of steps.entries()) {
        const loss = Number(values[2 * row]);
        if (!Number.isFinite(loss)) throw diverged(epoch, index + 1, loss);
        sum += loss * (batches[index] as number[]).length;
      }
    } finally {
      for (const reading of readings) reading.dispose();
    }
  };

  let next = prepare(0);
  try {
    for (let index = 0; next; index++) {
      throwIfAborted(signal);
      const batch = await next;
      next = prepare(index + 1); // its volumes are read while the step runs
      queue.push(handled(step(batch, index)));
      if (queue.length >= stepsAhead) await queue.shift();
      if (unread.length >= stepsRead) await read();
    }
    await Promise.all(queue);
    await read();
  } catch (error) {
    // Nothing may be left alive or under way when the error leaves.
    const [unused] = await Promise.allSettled([next, ...queue]);
    for (const { reading } of unread) reading.dispose();
    if (unused?.status === "fulfilled" && unused.value) disposeBatch(unused.value);
    throw error;
  }
  return sum / training.cases;
}

/** Its loss and its gradient's norm, on the device. */
function takeStep(
  trainer: Trainer,
  batch: AnyBatch,
  how: StepSettings,
  share: { cases: number[]; part: OwnPart } | undefined,
): Promise<Tensor> {
  if ("views" in batch) {
    const { views, schedule } = batch;
    const part = share && inSlices(share.part, views.slices / share.cases.length);
    return trainer.enqueueDistillation(views, { ...how, ...schedule, ...(part ? { part } : {}) });
  }
  const { input, target, ...known } = batch;
  return trainer.enqueue(input, target, { ...how, ...known, ...(share ? { part: share.part } : {}) });
}

const inSlices = ({ start, total, counts }: OwnPart, slicesOfCase: number): OwnPart => ({
  start: start * slicesOfCase,
  total: total * slicesOfCase,
  counts,
});

function disposeBatch(batch: AnyBatch): void {
  if ("views" in batch) {
    batch.views[Symbol.dispose]();
    return;
  }
  const { input, target, features } = batch;
  input.dispose();
  target.dispose();
  features?.[Symbol.dispose]();
}

/** A promise that may fail before anyone waits for it, without that being an unhandled rejection. */
function handled<T>(work: Promise<T>): Promise<T> {
  work.catch(() => {});
  return work;
}

/** The learning rate of a step, counted from 0 over the whole training: linear warm-up, then a half cosine to 0. */
export function learningRateAt(schedule: TrainingSchedule, step: number, stepsPerEpoch: number): number {
  const warmup = schedule.warmupEpochs * stepsPerEpoch;
  if (step < warmup) return (schedule.learningRate * (step + 1)) / warmup;
  if (schedule.schedule === "constant") return schedule.learningRate;
  const total = schedule.epochs * stepsPerEpoch - warmup;
  return schedule.learningRate * 0.5 * (1 + Math.cos((Math.PI * (step - warmup)) / total));
}

const diverged = (epoch: number, step: number, loss: number): TransferLimitsError =>
  new TransferLimitsError(
    "BAD_INPUT",
    `The training loss became ${loss} in epoch ${epoch}, step ${step}. Lower training.learningRate, or set ` +
      "training.gradientClip",
  );
