import { join } from "node:path";
import type { CaseVolumes } from "../../cohort/case-volumes.js";
import { layerwiseRates } from "../../models/parameters.js";
import type { NetworkSpec } from "../../native/network-spec.js";
import type { PlacedNetwork } from "../../native/placed-network.js";
import type { Ranks } from "../../native/ranks.js";
import { betterOf } from "../../tasks/index.js";
import type { Task } from "../../tasks/task.js";
import type { TaskConfig, TrainingSettings } from "../config/schema.js";
import { seedOf } from "../config/seeds.js";
import { smallestBatchOf } from "../config/smallest-batch.js";
import { type CellContext, executionOf, listeners, onDamageOf } from "./cell-context.js";
import { CheckpointFolder } from "./checkpoint.js";
import { evaluate } from "./evaluate.js";
import { FeatureStore } from "./features.js";
import type { TaskNetwork } from "./task-network.js";
import type { OpenSets } from "./test-set.js";
import { type Trained, train } from "./train.js";
import { type TrainingBatches, trainingBatch } from "./training-batch.js";

/** Running means and the like, which change with every step whatever is trained. */
const bufferNames = (network: PlacedNetwork): string[] =>
  network.parameters.filter(({ buffer }) => buffer).map(({ name }) => name);

/** The folder of the states that a cell's training keeps. */
export function openCheckpoints(
  context: CellContext,
  { network, weights, trainable }: TaskNetwork,
): Promise<CheckpointFolder> | CheckpointFolder {
  const changing = trainable === null ? undefined : [...trainable, ...bufferNames(network)];
  if (context.claim === null) return new CheckpointFolder(context.progress, changing);
  return CheckpointFolder.open(context.progress, {
    study: context.study.execution.output,
    restsOn: { ...context.basis, weights },
    onDamage: onDamageOf(context),
    changing,
  });
}

/** What names the streams of a training of a task: every comparator sees the same cases in the same order. */
export const trainingStreams = ({ study, cell }: CellContext, task: Task): (string | number)[] => [
  "train",
  task.name,
  seedOf(study, "order", cell.seed),
];

/**
 * Trains what the cell's comparator trains of a network, and validates it.
 *
 * @returns null where it trains nothing
 */
export async function trainOnTask(
  context: CellContext,
  task: Task,
  sets: OpenSets,
  { network, channels, trainable }: TaskNetwork,
  checkpoints: CheckpointFolder,
  stream: TrainingBatches["stream"],
): Promise<Trained | null> {
  const { study, cell, ranks, retry, signal } = context;
  if (cell.trains === "nothing") return null;
  const training = cell.training as TrainingSettings;
  const features =
    cell.keptDraws === null
      ? null
      : new FeatureStore(network, featuresOf(checkpoints, ranks), {
          keepStages: task.shape.answers === "voxels",
          setAsideIn: study.execution.output,
          onDamage: onDamageOf(context),
        });
  const batches: TrainingBatches = {
    task,
    channels,
    augmentation: training.augmentation,
    kept: features && cell.keptDraws !== null ? { store: features, draws: cell.keptDraws } : null,
    stream,
  };
  const present = { task, network, channels, seed: study.seed, features };
  return train({
    network,
    ranks,
    optimiser: {
      loss: task.loss(sets.train),
      weightDecay: training.weightDecay,
      ...(training.gradientClip === null ? {} : { gradientClip: training.gradientClip }),
      ...(trainable === null ? {} : { trainable }),
      ...(cell.layerDecay === 1 ? {} : { rates: layerwiseRates(network, cell.layerDecay) }),
      ...executionOf(study, training.microBatch),
    },
    schedule: training,
    cases: sets.train.length,
    smallestBatch: smallestBatchOf(cell.network as NetworkSpec, task.shape, study.cohort.voxels),
    random: { seed: study.seed, name: trainingStreams(context, task) },
    batch: (cases, epoch) =>
      trainingBatch(
        batches,
        cases.map((index) => sets.train[index] as CaseVolumes),
        epoch,
      ),
    validate:
      sets.validation.length === 0
        ? null
        : async () => (await evaluate(present, sets.validation, signal)).assessment.value,
    better: betterOf(study.tasks.find(({ name }) => name === cell.task) as TaskConfig),
    checkpoints,
    retry,
    signal,
    ...listeners(context, task.metric),
  });
}

/** Ranks see other cases each: each keeps its own. */
const featuresOf = ({ features }: CheckpointFolder, ranks: Ranks | null): string =>
  ranks === null || ranks.rank === 0 ? features : join(features, `rank-${ranks.rank}`);
